//! `evenpath`: composition root.
#![forbid(unsafe_code)]

mod bench;
mod calc;
mod cli;
mod config;
mod drain;
mod export;
mod failover;
mod nic;
mod offload;
mod output;
mod plane;
mod replay;
mod resilient;
mod run;
mod set;
mod shared;
mod show;
mod table;
mod team;
mod verify;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return output::Failure::from(error).report(),
    };
    let level = match cli.command {
        Command::Run(_) => "info",
        _ => "warn",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    let done = match &cli.command {
        Command::Config(command) => config::config(command, cli.json),
        Command::Run(arguments) => run::run(arguments),
        Command::Replay(arguments) => replay::replay(arguments, cli.json),
        Command::Bench(what) => bench::bench(what, cli.json),
        Command::Show(what) => show::show(what, &cli.socket, cli.json),
        Command::Set(what) => set::set(what, &cli.socket, cli.json),
        Command::Calc(flow) => calc::calc(flow, &cli.socket, cli.json),
        Command::Drain(what) => drain::drain(what, &cli.socket, cli.json),
        Command::Undrain(what) => drain::undrain(what, &cli.socket, cli.json),
        Command::Export(what) => export::export(what, &cli.socket, cli.json),
        Command::Verify(args) => verify::verify(&cli.socket, args, cli.json),
        Command::Fpm(cli::Fpm::Release) => show::release(&cli.socket, cli.json),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
