//! The demo from the first server to the last paragraph, in the order in which a person sees it.

use std::time::Instant;

use anyhow::Result;
use peerway_harness::module::Module;
use peerway_harness::parts::{self, Part};

use crate::outcome::Outcome;
use crate::screen::{Screen, Span, Tone};
use crate::stage::{NEW, NEW_SERVER, OLD, Stage, Way};
use crate::verdict::Findings;
use crate::{damage, fresh_crd, map_view, requests, stage, table, upgrade};

/// Everything, and what was seen. The stage is still up.
pub(crate) async fn play(screen: &Screen) -> Result<(Stage, Findings)> {
    let begun = Instant::now();
    let mut findings = Findings::default();
    let stage = set(screen).await?;
    ask(&stage, screen, &mut findings).await?;
    delete(&stage, screen, &mut findings).await?;
    upgrade(&stage, screen, &mut findings).await?;
    screen.heading("5. What was seen")?;
    let tone = if findings.problems().is_empty() { Tone::Plain } else { Tone::Bad };
    findings.paragraphs().iter().try_for_each(|text| screen.toned(tone, text))?;
    screen.toned(Tone::Faint, &format!("{} s in all.", begun.elapsed().as_secs()))?;
    Ok((stage, findings))
}

async fn set(screen: &Screen) -> Result<Stage> {
    screen.toned(Tone::Strong, "Peerway: three kube-apiservers of two versions, two balancers")?;
    screen.heading("1. The stage")?;
    // What is missing is told by itself, on standard error; a live line would run into it.
    for part in [Part::envoy(), Part::etcd(), Part::kubectl(), Part::kube_controller_manager()] {
        parts::ensure(&part).await?;
    }
    for version in [OLD, NEW] {
        parts::ensure(&Part::kube_apiserver(version)).await?;
    }
    let module = async { tokio::task::spawn_blocking(|| Module::Shipped.build()).await? };
    screen.during("Peerway's module, built from this tree", module).await?;
    let what = format!("etcd, and kube-apiservers: cp-1 and cp-2 {OLD}, cp-3 {NEW}");
    let plane = screen.during(&what, stage::control_plane()).await?;
    let what = "two Envoys in front of them: plain round robin, and Peerway";
    let stage = screen.during(what, Stage::start(plane)).await?;
    requests::prepare(&stage).await?;
    screen.text("What Peerway knows of the servers (its /map):")?;
    show_map(&stage, screen).await?;
    let map = stage.entrance(Way::Peerway).balancer.map().await?;
    screen.text(&format!("What {NEW_SERVER} has and the others do not:"))?;
    let differences = map_view::differences(&map);
    let groups = map_view::by_group_version(&differences).into_iter();
    let mut lines = groups.map(|(group_version, apis)| format!("  {group_version}: {apis}"));
    lines.try_for_each(|line| screen.toned(Tone::Plain, &line))?;
    Ok(stage)
}

async fn ask(stage: &Stage, screen: &Screen, findings: &mut Findings) -> Result<()> {
    screen.heading("2. The same requests through both, at the same time")?;
    screen.line(&table::header())?;
    let mut show = |comparison| {
        table::lines(&comparison).iter().try_for_each(|line| screen.line(line))?;
        findings.comparisons.push(comparison);
        anyhow::Ok(())
    };
    requests::compare(stage, screen, &mut show).await?;
    show(fresh_crd::compare(stage, screen).await?)?;
    screen.text("")?;
    LEGEND.iter().try_for_each(|line| screen.line(&[Span::new(Tone::Faint, *line)]))
}

async fn delete(stage: &Stage, screen: &Screen, findings: &mut Findings) -> Result<()> {
    screen.heading("3. What false 404s do: kube-controller-manager deletes namespaces")?;
    screen.text(&format!(
        "Each namespace holds a PodCertificateRequest, which {NEW_SERVER} alone knows. What is left \
         in etcd is asked of {NEW_SERVER} itself."
    ))?;
    for way in Way::BOTH {
        let left = damage::through(stage, screen, way).await?;
        let tone = if left.is_empty() { Tone::Good } else { Tone::Bad };
        let gone = format!("  {way:<9}{0} of {0} namespaces gone, ", damage::NAMESPACES);
        let what = match left.len() {
            0 => "nothing left behind".to_owned(),
            count => format!("{count} objects left, orphaned"),
        };
        screen.line(&[Span::new(Tone::Plain, gone), Span::new(tone, what)])?;
        if !left.is_empty() {
            screen.toned(Tone::Faint, &format!("           {}", left.join(", ")))?;
        }
        match way {
            Way::Plain => findings.left_by_plain = left,
            Way::Peerway => findings.left_by_peerway = left,
        }
    }
    Ok(())
}

async fn upgrade(stage: &Stage, screen: &Screen, findings: &mut Findings) -> Result<()> {
    screen.heading("4. The last old servers are upgraded, with requests going on")?;
    let before = upgrade::counted(stage).await?;
    findings.upgrade = upgrade::upgrade(stage, screen).await?;
    let answers = &findings.upgrade;
    let counts = answers.counts.iter();
    let counts: Vec<_> = counts.map(|(outcome, count)| format!("{count} × {outcome}")).collect();
    let tone = if answers.count(Outcome::FalseNotFound) > 0 { Tone::Bad } else { Tone::Good };
    let meanwhile = Span::new(Tone::Plain, "Through Peerway meanwhile: ");
    screen.line(&[meanwhile, Span::new(tone, counts.join(", "))])?;
    if let Some(failure) = &answers.first_failure {
        screen.toned(Tone::Faint, &format!("  {failure}"))?;
    }
    show_map(stage, screen).await?;

    let during = upgrade::counted(stage).await? - before;
    let traces = upgrade::look_for_traces(stage).await?;
    screen.text(&format!(
        "Requests that Peerway had a hand in: {before} before the upgrade, {during} during it, {} \
         of {} after it (its metric: +{}). APIs that not every server has: {}.",
        traces.touched, traces.sent, traces.counted, traces.differences
    ))?;
    if traces.is_invisible() {
        screen.toned(Tone::Good, "Peerway has become invisible.")?;
    }
    findings.traces = traces;
    Ok(())
}

async fn show_map(stage: &Stage, screen: &Screen) -> Result<()> {
    let map = stage.entrance(Way::Peerway).balancer.map().await?;
    map_view::lines(&map).iter().try_for_each(|line| screen.line(&[Span::new(Tone::Plain, line)]))
}

const LEGEND: [&str; 4] = [
    "  no such type      kubectl read an old server's discovery, and asked no further",
    "  listed-by-some    some servers have it: these are asked first",
    "  listed-by-nobody  not in the map yet: each is asked until one knows it",
    "  untouched         all have it: any server will do",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::WIDTH;

    #[test]
    fn the_legend_fits_a_terminal() {
        LEGEND.iter().for_each(|line| assert!(line.chars().count() <= WIDTH, "{line}"));
    }
}
