//! Finds libdpdk, compiles `shim.c` with DPDK's own flags, runs bindgen, emits the link lines.
use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The shared libraries that Rust or the shim calls; the rest comes by their own dependencies.
const CALLED: [&str; 7] = [
    "rte_eal",
    "rte_log",
    "rte_ethdev",
    "rte_mbuf",
    "rte_mempool",
    "rte_fib",
    "rte_kvargs",
];

/// What of DPDK's driver archives goes into a static binary: the NICs of servers, switches and
/// clouds, the virtual ones, and what these stand on. Crypto, compression, event, baseband and the
/// like stay out, and so do their dependencies.
const DRIVERS: [&str; 36] = [
    "bus_auxiliary",
    "bus_pci",
    "bus_vdev",
    "bus_vmbus",
    "common_iavf",
    "common_idpf",
    "common_mlx5",
    "mempool_ring",
    "mempool_stack",
    "net_af_packet",
    "net_af_xdp",
    "net_bnxt",
    "net_e1000",
    "net_ena",
    "net_gve",
    "net_i40e",
    "net_iavf",
    "net_ice",
    "net_idpf",
    "net_igc",
    "net_ixgbe",
    "net_mana",
    "net_memif",
    "net_mlx5",
    "net_netvsc",
    "net_null",
    "net_pcap",
    "net_ring",
    "net_tap",
    "net_vdev_netvsc",
    "net_vhost",
    "net_virtio",
    "net_vmxnet3",
    "net_bond",
    "net_failsafe",
    "net_r8169",
];

/// First words of driver archives' names; what begins with none of them is a library.
const DRIVER_CLASSES: [&str; 14] = [
    "baseband_",
    "bus_",
    "common_",
    "compress_",
    "crypto_",
    "dma_",
    "event_",
    "mempool_",
    "ml_",
    "net_",
    "power_",
    "raw_",
    "regex_",
    "vdpa_",
];

fn main() {
    for file in ["wrapper.h", "shim.h", "shim.c"] {
        println!("cargo:rerun-if-changed=src/{file}");
    }
    let dpdk = pkg_config::Config::new()
        .atleast_version("24.11")
        .cargo_metadata(false)
        .env_metadata(true)
        .probe("libdpdk")
        .unwrap_or_else(|error| {
            panic!("DPDK 24.11 or later with headers is needed (Debian 13: libdpdk-dev): {error}")
        });
    println!("cargo:VERSION={}", dpdk.version);
    let flags = pkg_config_output(&["--cflags"]);
    compile_shim(&flags);
    generate_bindings(&flags);
    if env::var_os("CARGO_FEATURE_STATIC").is_some() {
        link_static();
    } else {
        for path in &dpdk.link_paths {
            println!("cargo:rustc-link-search=native={}", path.display());
        }
        for library in CALLED {
            println!("cargo:rustc-link-lib=dylib={library}");
        }
    }
}

fn pkg_config_output(arguments: &[&str]) -> Vec<String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(&program)
        .args(arguments)
        .arg("libdpdk")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?} libdpdk failed"
    );
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn compile_shim(flags: &[String]) {
    let mut build = cc::Build::new();
    build
        .file("src/shim.c")
        .warnings(true)
        .extra_warnings(true)
        .opt_level(2);
    for flag in flags {
        // System headers keep their warnings to themselves.
        match flag.strip_prefix("-I") {
            Some(path) => build.flag("-isystem").flag(path),
            None => build.flag(flag),
        };
    }
    build.compile("evenpath_shim");
}

fn generate_bindings(flags: &[String]) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindgen::Builder::default()
        .header("src/wrapper.h")
        .clang_args(flags)
        .use_core()
        .generate_comments(false)
        .layout_tests(false)
        .prepend_enum_name(false)
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .allowlist_function("evenpath_.*")
        .allowlist_function("rte_eal_(init|cleanup)")
        .allowlist_function("rte_(strerror|version|get_tsc_hz|socket_id|log_set_global_level)")
        .allowlist_function("rte_dev_probe")
        .allowlist_function("rte_thread_(register|unregister)")
        .allowlist_function("rte_pktmbuf_(pool_create|free_bulk)")
        .allowlist_function("rte_mempool_(free|in_use_count|avail_count)")
        .allowlist_function("rte_eth_dev_(configure|start|stop|close|info_get|socket_id)")
        .allowlist_function("rte_eth_dev_(get_mtu|set_mtu|default_mac_addr_set)")
        .allowlist_function("rte_eth_dev_(adjust_nb_rx_tx_desc|callback_(un)?register)")
        .allowlist_function("rte_eth_dev_(get_name_by_port|get_port_by_name)")
        .allowlist_function("rte_eth_(rx|tx)_queue_setup")
        .allowlist_function("rte_eth_(rx|tx)_hairpin_queue_setup")
        .allowlist_function("rte_eth_(dev_hairpin_capability_get|hairpin_(un)?bind)")
        .allowlist_function("rte_eth_(macaddr_get|stats_get|promiscuous_(en|dis)able)")
        .allowlist_function("rte_eth_allmulticast_enable")
        .allowlist_function("rte_eth_dev_rss_hash_(update|conf_get)")
        .allowlist_function("rte_eth_(call_(rx|tx)_callbacks|(add|remove)_(rx|tx)_callback)")
        .allowlist_function("rte_fib_(create|free|add|delete|lookup_bulk|select_lookup|get_dp)")
        .allowlist_function("rte_fib6_(create|free|add|delete|lookup_bulk|select_lookup|get_dp)")
        .allowlist_function("rte_flow_(isolate|info_get|configure|query|push|pull|calc_table_hash)")
        .allowlist_function("rte_flow_(validate|create|destroy|flush)")
        .allowlist_function("rte_flow_(pattern|actions)_template_(create|destroy)")
        .allowlist_function("rte_flow_template_table_(create|destroy)")
        .allowlist_function("rte_flow_async_(create|create_by_index|actions_update|destroy)")
        .allowlist_function("rte_flow_async_action_handle_(create|update|destroy)")
        .allowlist_type("rte_flow_item_(eth|ipv4|ipv6|udp|tcp|tag|meta|tx_queue|ethdev|integrity)")
        .allowlist_type("rte_flow_action_(mark|count|jump|queue|rss|ethdev|modify_field|type)")
        .allowlist_type("rte_flow_(item_type|field_id|modify_op|error_type|op_status)")
        .allowlist_type("rte_flow_table_(insertion_type|hash_func)")
        .allowlist_type("rte_flow_query_count")
        .allowlist_var("rte_eth_fp_ops")
        .allowlist_var("RTE_(MAX_ETHPORTS|MAX_QUEUES_PER_PORT)")
        .allowlist_type("evenpath_.*")
        .opaque_type("rte_(mbuf|mempool|fib|fib6)")
        .generate()
        .expect("bindgen reads wrapper.h")
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR is writable");
}

/// Static linking. A driver registers itself in a constructor that nothing refers to, so its archive
/// must be taken whole; `pkg-config --static` names the archives between its whole-archive marks,
/// then every library once more (skipped), then what they need of the system.
fn link_static() {
    let libdir = pkg_config_output(&["--variable=libdir"]).concat();
    println!("cargo:rustc-link-search=native={libdir}");
    let mut whole = false;
    let mut system = BTreeSet::new();
    for word in pkg_config_output(&["--static", "--libs"]) {
        match word.as_str() {
            "-Wl,--whole-archive" => whole = true,
            "-Wl,--no-whole-archive" => whole = false,
            _ => {}
        }
        if let Some(path) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={path}");
        } else if let Some(name) = word
            .strip_prefix("-l:lib")
            .and_then(|name| name.strip_suffix(".a"))
            .filter(|_| whole)
        {
            let short = name.trim_start_matches("rte_");
            let driver = DRIVER_CLASSES.iter().any(|class| short.starts_with(class));
            if !driver || DRIVERS.contains(&short) {
                println!("cargo:rustc-link-lib=static:+whole-archive,-bundle={name}");
            }
        } else if let Some(name) = word.strip_prefix("-l") {
            // libibverbs loads its providers itself; the archives would be a second copy.
            if !name.starts_with("rte_") && !name.ends_with("-rdmav34") {
                system.insert(name.to_owned());
            }
        }
    }
    // rustc links with --as-needed: what no archive above refers to is not a dependency.
    for name in system {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
}
