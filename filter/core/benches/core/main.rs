//! What the core costs in time. `make bench` runs it; ratios between rows of one run are what counts.

mod inputs;
mod operations;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(10)
        .configure_from_args();
    for operation in operations::all() {
        criterion.bench_function(&operation.name, |bench| bench.iter(|| (operation.run)()));
    }
    criterion.final_summary();
}
