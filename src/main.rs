//! `evenpath`: composition root.
#![forbid(unsafe_code)]

mod calc;
mod cli;
mod config;
mod output;
mod show;
mod table;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Config(command) => config::config(command, cli.json),
        Command::Show(what) => show::show(what, &cli.socket, cli.json),
        Command::Calc(flow) => calc::calc(flow, &cli.socket, cli.json),
        Command::Fpm(cli::Fpm::Release) => show::release(&cli.socket, cli.json),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
