use bradawl::time::Duration;
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::discover::*;
use bradawl_sim::firewall::Firewall;
use bradawl_sim::link::Quality;
use bradawl_sim::nat::*;
use bradawl_sim::units::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let seeds: u64 = a[1].parse().unwrap();
    let loss: u32 = a[2].parse().unwrap();
    let servers: usize = a[3].parse().unwrap();
    let deps = [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort];
    let allocs = [
        Allocation::Preserve(Fallback::Random),
        Allocation::Preserve(Fallback::Next),
        Allocation::Sequential { step: 1 },
        Allocation::Sequential { step: 7 },
        Allocation::Random,
        Allocation::Block { size: 256 },
        Allocation::Block { size: 1024 },
    ];
    let mut wrong_sure = 0;
    for mapping in deps {
        for filtering in deps {
            for (i, allocation) in allocs.into_iter().chain([Allocation::Random]).enumerate() {
                let ports = if i == allocs.len() {
                    PortRange { first: 50001, last: 65535 }
                } else {
                    Behaviour::default().ports
                };
                let mut right = [0; 4];
                let mut sure = [0; 4];
                let mut wrong = [0; 4];
                let mut ws = [0; 4];
                let mut dec = [0; 4];
                let mut rtts = vec![];
                let mut packets = vec![];
                for seed in 0..seeds {
                    let rtt = 20 + (seed * 7919) % 281;
                    let hairpin =
                        [Hairpin::None, Hairpin::ExternalSource, Hairpin::InternalSource][seed as usize % 3];
                    let nat =
                        Behaviour { mapping, filtering, allocation, ports, hairpin, ..Behaviour::default() };
                    let link = Quality {
                        delay: Span::from_micros(rtt * 500),
                        loss: Chance::percent(loss),
                        ..Quality::default()
                    };
                    let lab = Lab {
                        behind: vec![Gateway {
                            nat: Some(nat.clone()),
                            addresses: 1,
                            firewall: Firewall::OPEN,
                        }],
                        link,
                        servers,
                        ..Lab::default()
                    };
                    let found = discover(seed, &lab).unwrap();
                    for (k, axis) in Axis::ALL.into_iter().enumerate() {
                        let j = axis.judge(&found.profile, &nat);
                        dec[k] += j.is_decidable as u32;
                        if j.is_decidable {
                            right[k] += (j.is_right == Some(true)) as u32;
                            sure[k] += (j.is_sure) as u32;
                        }
                        wrong[k] += (j.is_right == Some(false)) as u32;
                        if (j.is_right == Some(false) && j.is_sure)
                            || (!j.is_decidable && j.is_right.is_some())
                        {
                            ws[k] += 1;
                            wrong_sure += 1;
                            println!(
                                "WRONG SURE {axis} seed {seed} {:?}",
                                (
                                    found.profile.mapping,
                                    found.profile.filtering,
                                    found.profile.allocation,
                                    found.profile.hairpin
                                )
                            );
                        }
                    }
                    rtts.push(
                        found.quick.unwrap_or(Duration::from_secs(9)).as_secs_f64() / (rtt as f64 / 1000.0),
                    );
                    packets.push(found.packets.0);
                }
                rtts.sort_by(f64::total_cmp);
                packets.sort();
                println!(
                    "{mapping:?}/{filtering:?}/{i} right {right:?} sure {sure:?} wrong {wrong:?} ws {ws:?} of {dec:?}; rtt p50 {:.2} p95 {:.2}; packets p50 {}",
                    rtts[rtts.len() / 2],
                    rtts[rtts.len() * 95 / 100],
                    packets[packets.len() / 2]
                );
            }
        }
    }
    println!("wrong and sure: {wrong_sure}");
}
