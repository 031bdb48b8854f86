//! What was to be reached, beside what was measured: met or missed.

use crate::results::{Micro, Real, Results};
use crate::statistics::Spread;
use crate::table::markdown;

/// A number that must not be above its bound, or not below it.
struct Goal {
    what: &'static str,
    bound: Bound,
    measured: Option<Spread>,
    digits: usize,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// All goals. What was not measured is left out.
pub(crate) fn table(results: &Results) -> String {
    let rows = goals(results).into_iter().filter_map(|goal| {
        let Goal { what, bound, measured, digits } = goal;
        let measured = measured?;
        let (sign, bound, met) = match bound {
            Bound::AtMost(bound) => ("≤", bound, measured.median <= bound),
            Bound::AtLeast(bound) => ("≥", bound, measured.median >= bound),
        };
        let verdict = if met { "met" } else { "**missed**" };
        let shown = match measured.lower == measured.upper {
            true => format!("{:.digits$}", measured.median),
            false => format!("{measured:.digits$}"),
        };
        Some(vec![what.to_owned(), format!("{sign} {bound}"), shown, verdict.to_owned()])
    });
    markdown(&["goal", "bound", "measured", ""], rows.collect())
}

fn goals(results: &Results) -> Vec<Goal> {
    let at_most = |what, bound, measured, digits| Goal {
        what,
        bound: Bound::AtMost(bound),
        measured,
        digits,
    };
    let at_least =
        |what, bound, measured| Goal { what, bound: Bound::AtLeast(bound), measured, digits: 2 };
    vec![
        at_most(
            "CPU of a request that is left alone, × the same job in Lua",
            1.0,
            hot_path(results, "lua"),
            2,
        ),
        at_least(
            "throughput with nothing to do, × Envoy without a filter, real servers",
            0.97,
            throughput(results, "even-peerway", "even-plain"),
        ),
        at_least(
            "rerouted throughput, × asking the right server directly",
            0.65,
            throughput(results, "rerouted", "direct"),
        ),
        at_most("rerouted mean latency, × the built-in proxy's", 0.45, mean(results), 2),
        at_most("looking up in 50,000 resources, × in 60", 1.05, lookup(results), 2),
        at_most("a worker takes a map of 5,000 resources, ms", 2.0, worker_map(results), 2),
        at_most("merging 3 × 1,000 CRDs in the core, ms", 50.0, merging(results), 1),
        at_most(
            "the fetcher's thread, one of 3 × 1,000 CRDs changed, ms",
            50.0,
            fetcher_map(results),
            1,
        ),
        at_most("the module, KiB", 400.0, module(results), 0),
        at_most("the largest VM's memory at 1,000 CRDs, MiB", 8.0, memory(results), 1),
        at_most(
            "resident memory that a worker adds at 1,000 CRDs, MiB",
            8.0,
            worker_memory(results),
            1,
        ),
        at_most(
            "propagation: longest try, ms beyond the poll interval",
            200.0,
            propagation(results),
            0,
        ),
    ]
}

fn hot_path(results: &Results, rival: &str) -> Option<Spread> {
    let variants = &results.cpu.as_ref()?.variants;
    let of = |name: &str| {
        variants.iter().find(|variant| variant.name == name).map(|variant| &variant.microseconds)
    };
    Spread::of_ratios(of("untouched")?, of(rival)?)
}

fn closed(real: &Real, name: &str, of: impl Fn(&crate::load::Outcome) -> f64) -> Option<Vec<f64>> {
    let variant = real.variants.iter().find(|variant| variant.name == name)?;
    Some(variant.closed.iter().map(of).collect())
}

fn throughput(results: &Results, name: &str, to: &str) -> Option<Spread> {
    let real = results.real.as_ref()?;
    let of = |name| closed(real, name, |outcome| outcome.per_second);
    Spread::of_ratios(&of(name)?, &of(to)?)
}

fn mean(results: &Results) -> Option<Spread> {
    let real = results.real.as_ref()?;
    let of = |name| closed(real, name, |outcome| outcome.mean);
    Spread::of_ratios(&of("rerouted")?, &of("built-in")?)
}

fn micro<'a>(results: &'a Results, name: &str) -> Option<&'a Micro> {
    results.core.as_ref()?.iter().find(|micro| micro.name == name)
}

fn one(value: f64) -> Option<Spread> {
    Spread::of(&[value])
}

fn lookup(results: &Results) -> Option<Spread> {
    let of = |size| Some(&micro(results, &format!("decide/hit/{size}_resources"))?.nanoseconds);
    Spread::of_ratios(of(50_000)?, of(60)?)
}

fn merging(results: &Results) -> Option<Spread> {
    one(*micro(results, "merge/3_servers/1000_crds")?.nanoseconds.first()? / 1e6)
}

fn worker_map(results: &Results) -> Option<Spread> {
    let map = results.maps.as_ref()?.iter().find(|map| map.crds == 2_500)?;
    one(map.worker_ms)
}

fn fetcher_map(results: &Results) -> Option<Spread> {
    let map = results.maps.as_ref()?.iter().find(|map| map.crds == 1_000)?;
    one(map.fetcher_ms)
}

fn module(results: &Results) -> Option<Spread> {
    one(results.module.as_ref()?.bytes as f64 / 1024.0)
}

fn memory(results: &Results) -> Option<Spread> {
    let at_rest = &results.memory.as_ref()?.at_rest;
    let of_size = at_rest.iter().filter(|one| one.crds == 1_000);
    let largest = of_size.filter_map(|one| one.vms_kb.first()).map(|kb| *kb as f64 / 1024.0);
    one(largest.reduce(f64::max)?)
}

/// What six workers more make of it, each.
fn worker_memory(results: &Results) -> Option<Spread> {
    let at_rest = &results.memory.as_ref()?.at_rest;
    let of = |workers| at_rest.iter().find(|one| one.crds == 1_000 && one.workers == workers);
    let (few, many) = (of(2)?, of(8)?);
    let more = many.resident_kb as f64 - few.resident_kb as f64;
    one(more / f64::from(many.workers - few.workers) / 1024.0)
}

fn propagation(results: &Results) -> Option<Spread> {
    let of = results.propagation.as_ref()?;
    let longest = of.milliseconds.iter().copied().reduce(f64::max)?;
    one(longest - of.poll_interval_ms as f64)
}
