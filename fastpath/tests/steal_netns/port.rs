//! The process of one port: answers ICMP echo requests that it is given, and does as it is asked.

use std::io::BufRead;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use fastpath::dpdk::{
    Eal, Handle, Memory, Options, Pool, PoolAllocator, PoolOptions, Port, PortOptions, Queues,
    Registered,
};
use fastpath::software::burst::{Allocator as _, Burst, Frame, RxQueue as _, TxQueue as _};
use fastpath::steal::{KernelTap, OwnAddresses, PuntTap, Steal, Tc, Xdp};

use super::{TRANSIT4, TRANSIT6};

const POOL: PoolOptions = PoolOptions {
    buffers: 8191,
    data_room: 2048,
    cache: 0,
    socket: None,
};
const JUMBO: PoolOptions = PoolOptions {
    buffers: 2047,
    data_room: 9728,
    cache: 0,
    socket: None,
};

fn answer(result: Result<String, String>) {
    match result {
        Ok(value) => println!("answer: ok {value}"),
        Err(error) => println!("answer: error {error}"),
    }
}

fn text<T: ToString, E: ToString>(result: Result<T, E>) -> Result<String, String> {
    result
        .map(|value| value.to_string())
        .map_err(|error| error.to_string())
}

enum Device {
    Shared(Box<Steal>, Option<OwnAddresses>),
    Exclusive(KernelTap),
    /// Until it is attached.
    Punt(Option<PuntTap>),
}

impl Device {
    fn new(kind: &str) -> Result<Device, fastpath::steal::Error> {
        let shared = |steal| Device::Shared(Box::new(steal), None);
        Ok(match kind {
            "xdp" => shared(Steal::Xdp(Xdp::prepare("west", 0, POOL.data_room)?)),
            "tap" => shared(Steal::Tc(Tc::prepare("west", 0)?)),
            "punt" => Device::Punt(Some(PuntTap::prepare("west", 0)?)),
            _ => Device::Exclusive(KernelTap::prepare("up1", 0, [2, 0, 0, 0, 0, 0x77])?),
        })
    }

    fn request(
        &mut self,
        request: &str,
        foreign: &AtomicU64,
        frames: &Sender<Vec<u8>>,
    ) -> Result<String, String> {
        let (verb, object) = request.split_once(' ').unwrap_or((request, ""));
        match self {
            Device::Shared(_, own) => match (verb, own) {
                ("own", Some(own)) => {
                    let address = object.parse().map_err(|_| "no address".to_owned())?;
                    text(own.add(address).map(|()| ""))
                }
                ("enable", Some(own)) => text(own.enable().map(|()| "")),
                ("disable", Some(own)) => text(own.disable().map(|()| "")),
                ("foreign", _) => Ok(foreign.load(Ordering::SeqCst).to_string()),
                _ => Err(format!("unknown: {request}")),
            },
            Device::Punt(_) => match verb {
                "frame" => {
                    let bytes = object.as_bytes().chunks(2).map(|two| {
                        let two = std::str::from_utf8(two).ok()?;
                        u8::from_str_radix(two, 16).ok()
                    });
                    let bytes: Option<Vec<u8>> = bytes.collect();
                    let sent = frames.send(bytes.ok_or("no frame")?);
                    text(sent.map(|()| ""))
                }
                "foreign" => Ok(foreign.load(Ordering::SeqCst).to_string()),
                _ => Err(format!("unknown: {request}")),
            },
            Device::Exclusive(tap) => match verb {
                "carrier" => text(tap.set_carrier(object == "on").map(|()| "")),
                "mtu" => text(tap.set_mtu(object.parse().unwrap_or(0)).map(|()| "")),
                "mac" => {
                    let last = u8::from_str_radix(object, 16).unwrap_or(0);
                    text(tap.set_mac([2, 0, 0, 0, 0, last]).map(|()| ""))
                }
                _ => Err(format!("unknown: {request}")),
            },
        }
    }
}

/// The order of calls is the one that a port needs: prepare, open, attach, start, fill, enable;
/// close, drop.
#[test]
#[ignore = "a process that the other tests start in a namespace"]
fn process() {
    let kind = std::env::var("STEAL_NETNS_KIND").expect("it is started by the other tests");
    let mut device = match Device::new(&kind) {
        Ok(device) => device,
        Err(error) => {
            answer(Err(error.to_string()));
            std::process::exit(1);
        }
    };
    let eal = Eal::init(&Options {
        memory: Memory::Ordinary { mib: 64 },
        ..Options::default()
    })
    .expect("EAL");
    let (mut options, pool) = match &device {
        Device::Shared(steal, _) => {
            let jumbo = matches!(**steal, Steal::Tc(_)) && steal.mtu() > 1500;
            let mut options = PortOptions::new("west", steal.devargs());
            options.rx_queues = steal.queues();
            options.mtu = matches!(**steal, Steal::Tc(_)).then_some(steal.mtu());
            (options, if jumbo { JUMBO } else { POOL })
        }
        Device::Exclusive(tap) => (PortOptions::new("up1", tap.devargs()), POOL),
        Device::Punt(tap) => {
            let tap = tap.as_ref().expect("not attached yet");
            let mut options = PortOptions::new("west (kernel)", tap.devargs());
            options.mtu = Some(tap.mtu());
            (options, POOL)
        }
    };
    options.tx_queues = options.rx_queues;
    let pool = Pool::new(eal.handle(), pool).expect("pool");
    let mut port = Port::open(&pool, &options, None).expect("port");
    if let Device::Shared(steal, own) = &mut device {
        *own = Some(steal.attach().expect("attach"));
    }
    if let Device::Punt(tap) = &mut device {
        tap.take().expect("once").attach().expect("attach");
    }
    port.start().expect("start");

    let (frames, given) = channel();
    let (end, foreign) = (AtomicBool::new(false), AtomicU64::new(0));
    let queues = port.queues().expect("queues");
    std::thread::scope(|threads| {
        let handle = eal.handle();
        let (end, foreign) = (&end, &foreign);
        let allocator = pool.allocator();
        threads.spawn(move || echo(handle, queues, end, foreign, (&given, allocator)));
        answer(Ok(String::new()));
        for line in std::io::stdin().lock().lines() {
            answer(device.request(&line.expect("text"), foreign, &frames));
        }
        end.store(true, Ordering::SeqCst);
    });
    drop(port);
    drop(device);
}

fn echo(
    handle: Handle<'_>,
    queues: Queues<'_>,
    end: &AtomicBool,
    foreign: &AtomicU64,
    (given, mut allocator): (&Receiver<Vec<u8>>, PoolAllocator<'_>),
) {
    let _registered = Registered::new(handle).expect("a registered thread");
    let (mut rx, mut tx) = queues;
    let mut burst = Burst::new();
    while !end.load(Ordering::SeqCst) {
        for (rx, tx) in rx.iter_mut().zip(&mut tx) {
            rx.poll(&mut burst);
            let mut answers = Burst::new();
            burst.drain(|_, mut frame| {
                if reply(frame.bytes_mut()) {
                    let _ = answers.push(frame);
                } else {
                    foreign.fetch_add(1, Ordering::SeqCst);
                }
            });
            for bytes in given.try_iter() {
                let mut frame = allocator.allocate().expect("a buffer");
                assert!(frame.set_len(bytes.len()));
                frame.bytes_mut().copy_from_slice(&bytes);
                let _ = answers.push(frame);
            }
            tx.send(&mut answers);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Turns an echo request for a transit address, or a fragment of one, into its answer.
fn reply(frame: &mut [u8]) -> bool {
    let v4: std::net::Ipv4Addr = TRANSIT4.parse().expect("an address");
    let v6: std::net::Ipv6Addr = TRANSIT6.parse().expect("an address");
    if frame.len() < 62 {
        return false;
    }
    let (ethernet, packet) = frame.split_at_mut(14);
    // Protocol at its place, then where ICMP begins; none in a later fragment.
    let (from, to, length, icmp) = match (ethernet[12], ethernet[13]) {
        (0x08, 0x00) if packet[16..20] == v4.octets() => {
            let first = (packet[6] & 0x1f, packet[7]) == (0, 0);
            (12, 16, 4, first.then_some(20))
        }
        (0x86, 0xdd) if packet[24..40] == v6.octets() => match packet[6] {
            44 => (
                8,
                24,
                16,
                (packet[42] == 0 && packet[43] & 0xf8 == 0).then_some(48),
            ),
            _ => (8, 24, 16, Some(40)),
        },
        _ => return false,
    };
    for i in 0..6 {
        ethernet.swap(i, i + 6);
    }
    for i in 0..length {
        packet.swap(from + i, to + i);
    }
    if let Some(icmp) = icmp {
        // The request's type, 8 or 128, becomes 0 or 129; RFC 1624: the checksum goes the other way.
        let request = packet[icmp];
        packet[icmp] = if request == 8 { 0 } else { 129 };
        let old = u16::from_be_bytes([packet[icmp + 2], packet[icmp + 3]]);
        let change = if request == 8 { 0x0800 } else { !0x0100_u16 };
        let sum = u32::from(old) + u32::from(change);
        let sum = (sum & 0xffff) + (sum >> 16);
        packet[icmp + 2..icmp + 4].copy_from_slice(&(sum as u16).to_be_bytes());
    }
    true
}
