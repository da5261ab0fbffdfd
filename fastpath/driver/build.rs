//! Compiles the driver's C with DPDK's own flags, and links the driver's libraries.
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=c");
    let output = Command::new("pkg-config")
        .args(["--cflags", "libdpdk"])
        .output()
        .expect("pkg-config runs");
    assert!(
        output.status.success(),
        "pkg-config --cflags libdpdk failed"
    );
    let mut build = cc::Build::new();
    build
        .files([
            "c/driver.c",
            "c/wire.c",
            "c/hairpin.c",
            "c/netdev.c",
            "c/beside.c",
            "c/flow.c",
            "c/queue.c",
            "c/classic.c",
            "c/indirect.c",
            "c/items.c",
            "c/actions.c",
        ])
        .warnings(true)
        .extra_warnings(true)
        .opt_level(2)
        .define("_GNU_SOURCE", None)
        .define("ALLOW_EXPERIMENTAL_API", None)
        .define("ALLOW_INTERNAL_API", None)
        .flag("-isystem")
        .flag("c/dpdk")
        // The driver registers itself in a constructor that nothing refers to.
        .link_lib_modifier("+whole-archive")
        .link_lib_modifier("-bundle");
    for flag in String::from_utf8_lossy(&output.stdout).split_whitespace() {
        match flag.strip_prefix("-I") {
            Some(path) => build.flag("-isystem").flag(path),
            None => build.flag(flag),
        };
    }
    build.compile("net_evenpath_sim_c");
    for library in [
        "rte_eal",
        "rte_ethdev",
        "rte_mbuf",
        "rte_mempool",
        "rte_ring",
        "rte_kvargs",
        "rte_log",
        "rte_bus_vdev",
    ] {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}
