use bradawl_sim::catalogue::*;
use bradawl_sim::discover::*;
fn main() {
    for e in entries() {
        let mut behind = vec![];
        if let Some(a) = e.above {
            behind.push(entry(a).unwrap().gateway.clone());
        }
        behind.push(e.gateway.clone());
        let f = discover(
            7,
            &Lab {
                behind,
                link: bradawl_sim::link::Quality {
                    delay: bradawl_sim::units::Span::from_millis(20),
                    ..Default::default()
                },
                ..Lab::default()
            },
        )
        .unwrap();
        let p = f.profile;
        println!(
            "{:20} {:16} quick {:?} pk {} | {} {} | map {:?} filt {:?} alloc {:?} hair {:?} over {:?} sev {:?} par {:?} carrier {:?} hops {:?}",
            e.name,
            p.label().to_string(),
            f.quick.unwrap(),
            f.packets.0,
            p.confidence(),
            e.legacy,
            p.mapping.map(|f| f.value),
            p.filtering.map(|f| f.value),
            p.allocation.map(|f| f.value),
            p.hairpin.map(|f| f.value),
            p.overloaded.map(|f| f.value),
            p.several_addresses.map(|f| (f.value, f.confidence.bits())),
            p.parity.map(|f| (f.value, f.confidence.bits())),
            p.carrier.map(|f| (f.value, f.confidence.bits())),
            p.hops
        );
    }
}
