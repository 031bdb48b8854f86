//! A result file as SVG pictures. Each says in its title what a reader is to look at.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::results::{Cpu, Memory, Propagation, Real, Results};
use crate::statistics::Spread;

/// Every picture under its file name.
pub(crate) fn all(results: &Results) -> Result<Vec<(&'static str, String)>> {
    let mut pictures = Vec::new();
    if let Some(of) = &results.cpu {
        pictures.push(("cpu.svg", cpu(of)?));
    }
    if let Some(of) = &results.real {
        pictures.push(("throughput.svg", throughput(of)?));
        pictures.push(("latency.svg", latency(of)?));
    }
    if let Some(of) = &results.propagation {
        pictures.push(("propagation.svg", propagation(of)?));
    }
    if let Some(of) = &results.memory {
        pictures.push(("polling.svg", polling(of)?));
    }
    Ok(pictures)
}

fn cpu(cpu: &Cpu) -> Result<String> {
    let bars = cpu.variants.iter().map(|one| (one.what.as_str(), one.microseconds.clone()));
    bars_of("CPU time of Envoy for each request, µs", bars.collect())
}

fn throughput(real: &Real) -> Result<String> {
    let per_second = |one: &crate::results::RealOf| {
        (one.closed.iter().map(|round| round.per_second)).collect::<Vec<_>>()
    };
    let bars = real.variants.iter().map(|one| (one.what.as_str(), per_second(one)));
    bars_of("Answers a second on real kube-apiservers, as fast as it goes", bars.collect())
}

/// Horizontal bars to the median, with a line between the quartiles.
fn bars_of(title: &str, bars: Vec<(&str, Vec<f64>)>) -> Result<String> {
    let bars: Vec<(&str, Spread)> =
        bars.into_iter().filter_map(|(name, of)| Some((name, Spread::of(&of)?))).collect();
    let most = bars.iter().map(|(_, spread)| spread.upper).fold(0.0, f64::max);
    let height = TITLE + BAR * u32::try_from(bars.len())? + MARGIN;
    drawn(height, title, |area| {
        let scale = f64::from(WIDTH - LABELS - NUMBERS) / most.max(f64::MIN_POSITIVE);
        let x = |value: f64| LABELS as i32 + (value * scale) as i32;
        for (at, (name, spread)) in bars.iter().enumerate() {
            let top = (TITLE + BAR * at as u32) as i32;
            let (middle, color) = (top + BAR as i32 / 2, color_of(name));
            let bar = [(LABELS as i32, top + 4), (x(spread.median), top + BAR as i32 - 6)];
            area.draw(&Rectangle::new(bar, color.filled()))?;
            let ends = vec![(x(spread.lower), middle - 1), (x(spread.upper), middle - 1)];
            area.draw(&PathElement::new(ends, BLACK.stroke_width(2)))?;
            let place = (MARGIN as i32, middle - 7);
            area.draw(&Text::new((*name).to_owned(), place, ("sans-serif", 13)))?;
            let number = match spread.median {
                small if small < 100.0 => format!("{small:.1}"),
                large => format!("{large:.0}"),
            };
            let place = (x(spread.upper) + 8, middle - 7);
            area.draw(&Text::new(number, place, ("sans-serif", 13)))?;
        }
        Ok(())
    })
}

/// A line for each variant over the percentiles, times on a logarithmic axis.
fn latency(real: &Real) -> Result<String> {
    let title = format!("Latency on real kube-apiservers at {}/s, ms", real.requests_per_second);
    let lines: Vec<(&str, [f64; 4])> = real
        .variants
        .iter()
        .map(|one| (one.what.as_str(), [one.open.p50, one.open.p90, one.open.p99, one.open.p999]))
        .collect();
    let all = || lines.iter().flat_map(|(_, values)| values.iter().copied());
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max));
    drawn(HEIGHT, &title, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_top(TITLE)
            .margin_right(280)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..3.0, (least * 0.8..most * 1.2).log_scale())?;
        let percentile = |at: &f64| {
            let names = ["p50", "p90", "p99", "p99.9"];
            names.get(at.round() as usize).copied().unwrap_or_default().to_owned()
        };
        chart
            .configure_mesh()
            .x_labels(4)
            .x_label_formatter(&percentile)
            .y_label_formatter(&|ms| format!("{ms:.1}"))
            .light_line_style(WHITE)
            .draw()?;
        for (at, (name, values)) in lines.iter().enumerate() {
            let points = (0..).map(f64::from).zip(values.iter().copied());
            let style = color_of(name).stroke_width(2);
            chart.draw_series(LineSeries::new(points, style))?;
            let top = (TITLE + 10) as i32 + 20 * at as i32;
            let left = (WIDTH - 270) as i32;
            area.draw(&PathElement::new(vec![(left, top + 7), (left + 18, top + 7)], style))?;
            let place = (left + 24, top);
            area.draw(&Text::new((*name).to_owned(), place, ("sans-serif", 13)))?;
        }
        Ok(())
    })
}

fn propagation(of: &Propagation) -> Result<String> {
    let mut sorted = of.milliseconds.clone();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len().max(1) as f64;
    let steps = sorted.iter().zip(1..).map(|(ms, rank)| (*ms, f64::from(rank) / count * 100.0));
    let title =
        "From \"a server serves it\" to \"every worker routes it by the map\": % of tries, ms";
    line_of(title, steps.collect(), of.poll_interval_ms as f64 + 400.0, 100.0)
}

fn polling(memory: &Memory) -> Result<String> {
    let samples = memory.polling.samples.iter();
    let points = samples.map(|(polls, kb)| (*polls as f64, *kb as f64 / 1024.0));
    let points: Vec<(f64, f64)> = points.collect();
    let (polls, mib) = points
        .iter()
        .fold((1.0, 1.0), |(x, y), point| (f64::max(x, point.0), f64::max(y, point.1)));
    line_of("Resident memory of Envoy with Peerway over polls, MiB", points, polls, mib * 1.2)
}

fn line_of(title: &str, points: Vec<(f64, f64)>, right: f64, top: f64) -> Result<String> {
    drawn(HEIGHT, title, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_top(TITLE)
            .margin_right(MARGIN * 2)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        chart.configure_mesh().light_line_style(WHITE).draw()?;
        chart.draw_series(LineSeries::new(points, PEERWAYS.stroke_width(2)))?;
        Ok(())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn drawn(height: u32, title: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    let all = || -> Drawn {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw(&Text::new(title.to_owned(), (MARGIN as i32, 10), ("sans-serif", 16)))?;
        draw(&area)?;
        area.present()?;
        Ok(())
    };
    all().map_err(|error| anyhow!("{title}: {error}"))?;
    Ok(svg)
}

/// Peerway's own in one color, what it is compared with in others.
fn color_of(name: &str) -> RGBColor {
    match name {
        _ if name.contains("four attempts") => RGBColor(120, 60, 160),
        _ if name.contains("two attempts") || name.contains("no map") => RGBColor(150, 100, 190),
        _ if name.contains("rerouted") => RGBColor(40, 110, 190),
        _ if name.contains("Peerway") => PEERWAYS,
        _ if name.contains("built-in") => RGBColor(200, 60, 50),
        _ if name.contains("right server only") => RGBColor(200, 160, 60),
        _ if name.contains("directly") => RGBColor(80, 80, 80),
        _ if name.contains("Lua") => RGBColor(90, 150, 80),
        _ if name.contains("empty") => RGBColor(170, 190, 120),
        _ => RGBColor(150, 150, 150),
    }
}

const PEERWAYS: RGBColor = RGBColor(30, 80, 150);
const WIDTH: u32 = 900;
const HEIGHT: u32 = 360;
const TITLE: u32 = 44;
const BAR: u32 = 30;
const LABELS: u32 = 290;
const NUMBERS: u32 = 70;
const MARGIN: u32 = 14;
