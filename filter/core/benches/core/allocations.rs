//! What the core allocates: a line for each operation of the time measurement, `name allocations`.

mod inputs;
mod operations;

fn main() {
    for operation in operations::all() {
        let counted = allocation_counter::measure(|| (operation.run)());
        tell(&format!("{} {}", operation.name, counted.count_total));
    }
}

#[expect(clippy::print_stdout, reason = "a command line program")]
fn tell(line: &str) {
    println!("{line}");
}
