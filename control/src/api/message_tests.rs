use super::*;
use std::collections::BTreeMap;

#[test]
fn requests_are_the_json_that_scripts_write() {
    for (json, request) in [
        (
            r#"{"request":"show-route","of":{"prefix":"10.0.0.0/8"}}"#,
            Request::ShowRoute(RouteQuery {
                prefix: Some("10.0.0.0/8".parse().expect("prefix")),
                ..RouteQuery::default()
            }),
        ),
        (r#"{"request":"show-port"}"#, Request::ShowPort),
        (
            r#"{"request":"calc","of":{"ingress":"host0","source":"10.244.1.2","destination":"10.0.0.1","protocol":6,"source-port":20000,"destination-port":80,"flow-label":0}}"#,
            Request::Calc(Flow {
                ingress: "host0".into(),
                source: "10.244.1.2".parse().expect("address"),
                destination: "10.0.0.1".parse().expect("address"),
                protocol: 6,
                source_port: 20000,
                destination_port: 80,
                flow_label: 0,
            }),
        ),
    ] {
        assert_eq!(serde_json::from_str::<Request>(json).expect(json), request);
        assert_eq!(serde_json::to_string(&request).expect("json"), json);
    }
    let typo = r#"{"request":"show-route","of":{"prefx":"10.0.0.0/8"}}"#;
    assert!(serde_json::from_str::<Request>(typo).is_err());
}

#[test]
fn calc_has_the_keys_of_the_contract_in_their_order() {
    let calc = Calc {
        port: "up1".into(),
        nexthop: "169.254.0.1".parse().expect("address"),
        prefix: "10.0.0.0/8".parse().expect("prefix"),
        group: 1,
        bucket: 17,
        buckets: 64,
        hash: "0x1b2c3d4e".into(),
        algorithm: "mix".into(),
        fields: BTreeMap::from([("source-ip".into(), "10.244.1.2".into())]),
        plane: "software".into(),
    };
    assert_eq!(
        serde_json::to_string(&calc).expect("json"),
        r#"{"port":"up1","nexthop":"169.254.0.1","prefix":"10.0.0.0/8","group":1,"bucket":17,"buckets":64,"hash":"0x1b2c3d4e","algorithm":"mix","fields":{"source-ip":"10.244.1.2"},"plane":"software"}"#
    );
}

#[test]
fn errors_read_object_operation_cause_remedy() {
    let mut error = Error {
        object: "port up9".into(),
        operation: "calc".into(),
        cause: "no such port".into(),
        remedy: None,
    };
    assert_eq!(error.to_string(), "port up9: calc: no such port");
    error.remedy = Some("ports are up1, up2".into());
    assert!(
        error
            .to_string()
            .ends_with("no such port; ports are up1, up2")
    );
}

#[test]
fn counters_keep_the_balance_and_name_what_was_dropped() {
    use fastpath::table::stats::WorkerStats;
    use fastpath::table::{DropReason, PortId};
    let stats = WorkerStats::new();
    stats.received(PortId(0), 3, 300);
    stats.received_from_kernel(PortId(1), 1, 60);
    stats.sent(PortId(1), 2, 160);
    stats.dropped(DropReason::NoRoute, 2);
    let counters = Counters::new(&stats.snapshot(), ["host0", "up1"]);
    assert_eq!(counters.ports.len(), 2);
    assert_eq!(counters.ports["host0"].input, 3);
    assert_eq!(
        (
            counters.ports["up1"].output,
            counters.ports["up1"].from_kernel
        ),
        (2, 1)
    );
    assert_eq!(counters.dropped, BTreeMap::from([("no-route".into(), 2)]));
}
