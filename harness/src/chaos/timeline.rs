//! Outcomes -> a picture (SVG): over time, how each server was, and what clients were answered.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    BLACK, Cartesian2d, ChartBuilder, ChartContext, Color, DrawingArea, IntoDrawingArea, IntoFont,
    PathElement, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text, WHITE,
};

use super::record::{Class, Condition, Kind};
use super::scenario::{NEW, Scenario};
use super::stage::{Outcome, Way};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws a scenario into a file, the balancers one below the other.
pub(super) fn draw(file: &Path, scenario: &Scenario, outcomes: &[(Way, Outcome)]) -> Result<()> {
    let height = TITLE + outcomes.len() as u32 * BALANCER + LEGEND;
    let root = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    let drawn = draw_all(&root, scenario, outcomes);
    drawn.map_err(|error| anyhow!("cannot draw {}: {error}", file.display()))
}

/// plotters' errors are no `Send`, and different for each kind of picture.
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_all(root: &Area<'_>, scenario: &Scenario, outcomes: &[(Way, Outcome)]) -> Drawn {
    root.fill(&WHITE)?;
    let (title, mut rest) = root.split_vertically(TITLE);
    title.draw(&Text::new(capitalized(scenario.title), (MARGIN, 12), ("sans-serif", 20)))?;
    let ends = outcomes.iter().flat_map(|(_, outcome)| outcome.seen.last());
    let seconds = ends.map(|seen| seen.at.as_secs_f64()).fold(1.0, f64::max);
    for (way, outcome) in outcomes {
        let (own, below) = rest.split_vertically(BALANCER);
        rest = below;
        draw_balancer(&own, scenario, *way, outcome, seconds)?;
    }
    draw_legend(&rest)?;
    root.present()?;
    Ok(())
}

fn draw_balancer(
    area: &Area<'_>,
    scenario: &Scenario,
    way: Way,
    outcome: &Outcome,
    seconds: f64,
) -> Drawn {
    let (heading, rest) = area.split_vertically(HEADING);
    heading.draw(&Text::new(
        way.to_string(),
        (MARGIN, 8),
        ("sans-serif", 16).into_font().style(plotters::style::FontStyle::Bold),
    ))?;
    let (lanes, rest) = rest.split_vertically(LANES);
    draw_servers(&lanes, scenario, outcome, seconds)?;
    let (everywhere, new) = rest.split_vertically(PANEL);
    for (panel, class) in [(everywhere, Class::Everywhere), (new, Class::New)] {
        draw_answers(&panel, outcome, class, seconds)?;
    }
    Ok(())
}

/// A lane for each server.
fn draw_servers(area: &Area<'_>, scenario: &Scenario, outcome: &Outcome, seconds: f64) -> Drawn {
    let lanes = scenario.servers.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .set_left_and_bottom_label_area_size(0)
        .margin_left(AXIS)
        .margin_right(MARGIN)
        .build_cartesian_2d(0.0..seconds, lanes..0.0)?;
    let scale = f64::from(WIDTH - AXIS) / seconds;
    for (lane, (name, version)) in (0_u32..).zip(scenario.servers) {
        let top = f64::from(lane);
        let own = outcome.marks.iter().filter_map(|mark| {
            let (server, condition) = mark.server.as_ref()?;
            (server == name).then(|| (mark.at.as_secs_f64(), condition.clone()))
        });
        let first = std::iter::once((0.0, Condition::Serves(version.to_owned())));
        let spans: Vec<_> = first.chain(own).collect();
        let ends = spans.iter().skip(1).map(|(at, _)| *at).chain([seconds]);
        for ((from, condition), to) in spans.iter().zip(ends) {
            let (from, to) = (*from, to.min(seconds));
            let corners = [(from, top + 0.1), (to, top + 0.9)];
            chart.draw_series([Rectangle::new(corners, fill(&condition.color()))])?;
            let label = format!("{name} {}", condition.word());
            // A letter is some seven pixels wide.
            if (to - from) * scale > 7.0 * label.len() as f64 {
                let style = ("sans-serif", 12).into_font().color(&condition.ink());
                chart.draw_series([Text::new(label, (from + 4.0 / scale, top + 0.25), style)])?;
            }
        }
    }
    Ok(())
}

/// Answers over time, the worse below the better.
fn draw_answers(area: &Area<'_>, outcome: &Outcome, class: Class, seconds: f64) -> Drawn {
    let bar = (seconds / BARS).max(0.25);
    let bars = (seconds / bar).ceil() as usize + 1;
    let mut counts = vec![[0.0; Kind::ALL.len()]; bars];
    for seen in outcome.seen.iter().filter(|seen| seen.class == class) {
        let place = (seen.at.as_secs_f64() / bar) as usize;
        let kind = Kind::ALL.iter().position(|kind| *kind == seen.kind).unwrap_or_default();
        if let Some(count) = counts.get_mut(place).and_then(|bar| bar.get_mut(kind)) {
            // By second, whatever the width of a bar.
            *count += 1.0 / bar;
        }
    }
    let highest = counts.iter().map(|bar| bar.iter().sum::<f64>()).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin_top(22)
        .margin_right(MARGIN)
        .set_label_area_size(plotters::prelude::LabelAreaPosition::Left, AXIS)
        .set_label_area_size(plotters::prelude::LabelAreaPosition::Bottom, 22)
        .build_cartesian_2d(0.0..seconds, 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .y_labels(4)
        .x_labels(12)
        .y_label_formatter(&|value| format!("{value:.0}/s"))
        .x_label_formatter(&|value| format!("{value:.0} s"))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .label_style(("sans-serif", 11))
        .draw()?;
    area.draw(&Text::new(class.to_string(), (AXIS as i32, 6), ("sans-serif", 13)))?;
    for (place, bar_counts) in counts.iter().enumerate() {
        let from = place as f64 * bar;
        let mut height = 0.0;
        for (kind, count) in
            Kind::ALL.iter().zip(bar_counts).rev().filter(|(_, count)| **count > 0.0)
        {
            let corners = [(from, height), (from + bar * 0.9, height + count)];
            chart.draw_series([Rectangle::new(corners, fill(&kind.color()))])?;
            height += count;
        }
    }
    draw_marks(&mut chart, outcome, highest)
}

fn draw_marks(chart: &mut Chart<'_, '_>, outcome: &Outcome, highest: f64) -> Drawn {
    let line = ShapeStyle::from(&BLACK.mix(0.45)).stroke_width(1);
    let marks = outcome.marks.iter().map(|mark| mark.at.as_secs_f64());
    let lines = marks.map(|at| PathElement::new([(at, 0.0), (at, highest * 1.05)], line));
    chart.draw_series(lines)?;
    Ok(())
}

fn draw_legend(area: &Area<'_>) -> Drawn {
    for (place, kind) in (0_i32..).zip(Kind::ALL) {
        let (left, top) = (AXIS as i32 + place % 4 * 265, 10 + place / 4 * 20);
        let corners = [(left, top), (left + 12, top + 12)];
        area.draw(&Rectangle::new(corners, fill(&kind.color())))?;
        area.draw(&Text::new(kind.to_string(), (left + 18, top), ("sans-serif", 13)))?;
    }
    Ok(())
}

impl Kind {
    fn color(self) -> RGBColor {
        match self {
            Self::Done => RGBColor(183, 208, 226),
            Self::Unsettled => RGBColor(214, 214, 214),
            Self::ComeBack => RGBColor(240, 180, 60),
            Self::MayHaveRun => RGBColor(150, 90, 170),
            Self::Broken => RGBColor(95, 60, 130),
            Self::Silent => RGBColor(40, 40, 40),
            Self::FalseNotFound => RGBColor(214, 30, 30),
            Self::Wrong => RGBColor(240, 60, 160),
        }
    }
}

impl Condition {
    fn color(&self) -> RGBColor {
        match self {
            Self::Serves(version) if version == NEW => RGBColor(31, 96, 150),
            Self::Serves(_) => RGBColor(120, 170, 205),
            Self::Faulty(_) => RGBColor(225, 160, 70),
            Self::Ends => RGBColor(200, 200, 200),
            Self::Away(_) => RGBColor(235, 235, 235),
        }
    }

    fn ink(&self) -> RGBColor {
        match self {
            Self::Serves(_) => WHITE,
            _ => RGBColor(60, 60, 60),
        }
    }

    fn word(&self) -> &str {
        match self {
            Self::Serves(word) | Self::Faulty(word) => word,
            Self::Ends => "ends",
            Self::Away(word) => word,
        }
    }
}

fn fill(color: &RGBColor) -> ShapeStyle {
    ShapeStyle::from(color).filled()
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

const WIDTH: u32 = 1_150;
const TITLE: u32 = 40;
const HEADING: u32 = 28;
const LANES: u32 = 72;
const PANEL: u32 = 150;
const BALANCER: u32 = HEADING + LANES + 2 * PANEL + 12;
const LEGEND: u32 = 60;
const AXIS: u32 = 56;
const MARGIN: i32 = 14;
const BARS: f64 = 110.0;
