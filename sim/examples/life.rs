use bradawl::time::Duration;
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::discover::*;
use bradawl_sim::firewall::Firewall;
use bradawl_sim::link::Quality;
use bradawl_sim::nat::*;
use bradawl_sim::units::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n: u64 = a[1].parse().unwrap();
    let loss: u32 = a[2].parse().unwrap();
    let (mut worst, mut bad, mut unsure, mut refr) = (0.0f64, 0, 0, 0);
    let mut packets = vec![];
    let mut times = vec![];
    for seed in 0..n {
        let lifetime = 20 + (seed * 7919) % 281;
        let rtt = 20 + (seed * 104729) % 281;
        let mapping =
            [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort][seed as usize % 3];
        let allocation =
            [Allocation::Preserve(Fallback::Random), Allocation::Sequential { step: 1 }, Allocation::Random]
                [(seed / 3) as usize % 3];
        let refresh_inbound = seed % 4 != 0;
        let nat = Behaviour {
            mapping,
            allocation,
            lifetime: Span::from_secs(lifetime),
            refresh_inbound,
            ..Behaviour::default()
        };
        let link = Quality {
            delay: Span::from_micros(rtt * 500),
            loss: Chance::percent(loss),
            ..Quality::default()
        };
        let lab = Lab {
            behind: vec![Gateway { nat: Some(nat), addresses: 1, firewall: Firewall::OPEN }],
            link,
            patience: Duration::from_secs(4000),
            ..Lab::default()
        };
        let found = discover(seed, &lab).unwrap();
        match found.profile.lifetime {
            None => {
                bad += 1;
                println!("none {seed} {lifetime}");
            }
            Some(f) => {
                let e = (f.value.estimate().as_secs_f64() - lifetime as f64).abs();
                if e > 2.0 {
                    bad += 1;
                    println!("{seed} {lifetime} {f:?}");
                }
                if !f.confidence.is_sure() {
                    unsure += 1;
                }
                worst = worst.max(e);
            }
        }
        match found.profile.refreshed_inbound {
            Some(f) if f.value == refresh_inbound => {}
            other => {
                refr += 1;
                println!("refr {seed} {refresh_inbound} {other:?}")
            }
        }
        packets.push(found.packets.1 - found.packets.0);
        times.push(found.finished.map_or(9999.0, |t| t.as_secs_f64()));
    }
    packets.sort();
    times.sort_by(f64::total_cmp);
    println!(
        "worst {worst:.2} bad {bad} unsure {unsure} refr {refr}; packets p50 {} max {}; time p50 {} max {}",
        packets[packets.len() / 2],
        packets[packets.len() - 1],
        times[times.len() / 2],
        times[times.len() - 1]
    );
}
