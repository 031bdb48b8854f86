//! What is known of all servers -> the map and the merged documents that workers get, when they change.

use super::tracked::Tracked;
use super::{Effect, Poller};
use crate::cluster::{self, MergedDocument};
use crate::discovery::{DiscoveryError, Root};
use crate::request::{Form, Scope};
use crate::serving_map::{Page, PageKey, Rows, Standing, build, page_key};
use crate::snapshot;

impl Poller {
    pub(super) fn publish(&mut self, effects: &mut Vec<Effect>) {
        self.shown = self.to_show();
        if !self.shown.contains(&Standing::Confirmed) {
            return;
        }
        let view = |(server, standing): (_, &Standing)| Tracked::view(server, *standing);
        let views: Vec<_> = self.servers.iter().zip(&self.shown).map(view).collect();
        let mut rows = build(&views);
        let is_silent = |(server, shown): (&Tracked, &Standing)| {
            server.record.silent && matches!(shown, Standing::Late | Standing::Gone)
        };
        let both = self.servers.iter().zip(&self.shown).enumerate();
        rows.silent = both.filter(|(_, both)| is_silent(*both)).map(|(at, _)| at).collect();
        let mut documents = Vec::new();
        for root in [Root::Core, Root::Named] {
            match self.merge(root, &mut rows) {
                Ok(merged) => documents.extend(merged),
                // Each document was read whole when it was taken.
                Err(error) => effects.push(Effect::Log(format!("{}: {error}", root.path()))),
            }
        }
        if !self.versions_are_alike() {
            let index = page_key(Scope::Cluster, Form::OpenApiIndex);
            let own = rows.confirmed;
            rows.pages.entry(index).or_insert(Page { own, merged: None });
        }
        documents.extend(self.openapi.settle(&mut rows));
        let published = self.published.as_ref().map(|rows| &rows.pages);
        for (key, document) in documents {
            if published.and_then(|pages| pages.get(&key)) != rows.pages.get(&key) {
                effects.push(Effect::PublishDocument(key, document));
            }
        }
        if self.published.as_ref() != Some(&rows) {
            self.generation += 1;
            let bytes = snapshot::encode(&self.config.servers, &rows);
            // Saved first: a VM that takes over must not give its map a number that workers know.
            effects.extend([Effect::SaveStatus, Effect::Publish(self.generation, bytes)]);
            self.published = Some(rows);
        }
    }

    /// While no server is confirmed, those that were to the last are shown as it, all that went
    /// within two looks of each other: that says more about the fetcher's credential or about etcd
    /// than about the servers. But for who is silent, as long as anybody else is not.
    fn to_show(&self) -> Vec<Standing> {
        let standings = self.servers.iter().map(|server| server.record.standing());
        let mut shown: Vec<_> = standings.collect();
        if shown.contains(&Standing::Confirmed) {
            return shown;
        }
        let is_anybody_there = self.servers.iter().any(|server| !server.record.silent);
        let confirmed_ms = |server: &Tracked| match server.record.silent && is_anybody_there {
            true => 0,
            false => server.record.confirmed_ms,
        };
        let last_ms = self.servers.iter().map(confirmed_ms).max().unwrap_or_default();
        let look_ms = self.config.poll_interval_ms + self.config.probe_timeout_ms;
        let since_ms = last_ms.saturating_sub(2 * look_ms).max(1);
        for (server, shown) in self.servers.iter().zip(&mut shown) {
            if confirmed_ms(server) >= since_ms {
                *shown = Standing::Confirmed;
            }
        }
        if shown.contains(&Standing::Confirmed) { shown } else { self.shown.clone() }
    }

    fn merge(
        &self,
        root: Root,
        rows: &mut Rows,
    ) -> Result<Vec<(PageKey, MergedDocument)>, DiscoveryError> {
        let of_server =
            |(server, standing): (_, &Standing)| Tracked::source(server, root, *standing);
        let sources: Vec<_> = self.servers.iter().zip(&self.shown).map(of_server).collect();
        cluster::settle(root, &sources, rows)
    }

    /// One that was not asked is taken to be like the others.
    fn versions_are_alike(&self) -> bool {
        let versions = self.servers.iter().map(|server| server.record.version.as_str());
        let mut known = versions.filter(|version| !version.is_empty());
        let first = known.next();
        known.all(|version| Some(version) == first)
    }
}
