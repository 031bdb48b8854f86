//! What is read of the servers' OpenAPI, and when -> the merged index and documents.
//!
//! Nothing is read while one server has everything: its own index and documents do. Else each
//! confirmed server's index is read, again every [`REREAD_MS`], and of a group-version that no server
//! has whole the document of each server that has a part of it. An index names documents by their
//! hashes, so what did not change is not read again. Knows no clock: time is an argument.

use bytes::Bytes;
use sha2::{Digest, Sha512};

use super::united::united;
use super::{Index, ROOT, chosen, merged};
use crate::cluster::MergedDocument;
use crate::discovery::GroupVersion;
use crate::request::{Form, Scope};
use crate::servers::{ServerId, ServerSet};
use crate::serving_map::{Page, PageKey, Rows, page_key};
use crate::snapshot::checksum;

/// Schemas of custom resources change while discovery stays as it is. An old hash in an index costs a
/// client a redirect.
pub const REREAD_MS: u64 = 10_000;
/// Most bytes of documents that are kept, of all servers together. Those of a whole default server
/// have 12 MB, and few group-versions are spread over servers.
const MAX_BYTES: usize = 16 << 20;

/// A question to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its place in the configuration.
    pub server: usize,
    /// [`ROOT`], or what an index says of a document.
    pub path: String,
}

/// What was read, and what is asked.
#[derive(Debug, Default)]
pub struct Reader {
    /// `None` while nothing needs to be read.
    wanted: Option<Wanted>,
    next_ms: u64,
    /// What each server said, by its place; as many as are configured, or fewer.
    indexes: Vec<Option<Index>>,
    /// How many questions it has yet to answer, likewise.
    asked: Vec<usize>,
    parts: Vec<Part>,
    united: Vec<United>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    confirmed: ServerSet,
    /// Group-versions that no confirmed server has whole, and who has a part.
    split: Vec<(GroupVersion, ServerSet)>,
}

/// A document of which another server has a part too.
#[derive(Debug)]
struct Part {
    server: usize,
    url: String,
    body: Bytes,
}

#[derive(Debug)]
struct United {
    gv: GroupVersion,
    /// Of its parts.
    urls: Vec<(usize, String)>,
    document: MergedDocument,
}

impl Reader {
    /// Takes new rows, and says in them who answers for OpenAPI where no server has everything.
    /// Returns the documents that they speak of.
    pub fn settle(&mut self, rows: &mut Rows) -> Vec<(PageKey, MergedDocument)> {
        let cluster = page_key(Scope::Cluster, Form::OpenApiIndex);
        let nobody_has_all = rows.pages.get(&cluster).is_some_and(|page| page.own.is_empty());
        let wanted = nobody_has_all.then(|| Wanted::of(rows));
        let Some(now) = &wanted else {
            *self = Self::default();
            return Vec::new();
        };
        if self.wanted != wanted {
            self.next_ms = 0;
        }
        for (at, index) in self.indexes.iter_mut().enumerate() {
            if !now.confirmed.contains(at) {
                *index = None;
            }
        }
        let is_split = |gv: &GroupVersion| now.split.iter().any(|(split, _)| split == gv);
        self.united.retain(|united| is_split(&united.gv));
        self.parts.retain(|part| now.confirmed.contains(part.server));
        self.wanted = wanted;
        let documents = self.documents(rows);
        for (key, document) in &documents {
            let merged = Some(format!("{:x}", checksum(&document.body)));
            rows.pages.insert(key.clone(), Page { own: ServerSet::EMPTY, merged });
        }
        documents
    }

    /// What is to be asked now.
    pub fn due(&mut self, now_ms: u64) -> Vec<Question> {
        let mut questions = Vec::new();
        // A clock that was set back must not stop it.
        let is_early = now_ms < self.next_ms && self.next_ms <= now_ms + REREAD_MS;
        let Some(wanted) = self.wanted.as_ref().filter(|_| !is_early) else { return questions };
        self.next_ms = now_ms + REREAD_MS;
        for server in wanted.confirmed.iter().map(ServerId::index) {
            if self.asked.len() <= server {
                self.asked.resize(server + 1, 0);
                self.indexes.resize(server + 1, None);
            }
            let Some(asked) = self.asked.get_mut(server) else { continue };
            if *asked == 0 {
                *asked = 1;
                questions.push(Question { server, path: ROOT.to_owned() });
            }
        }
        questions
    }

    /// Takes an answer; `body` is `None` when there was none that can be used. Returns what is to be
    /// asked next, and whether there may be something new to publish.
    pub fn hear(&mut self, question: &Question, body: Option<&[u8]>) -> (Vec<Question>, bool) {
        let server = question.server;
        let nothing = (Vec::new(), false);
        let Some(asked) = self.asked.get_mut(server) else { return nothing };
        *asked = asked.saturating_sub(1);
        let wanted = self.wanted.as_ref().filter(|wanted| wanted.confirmed.contains(server));
        let Some(wanted) = wanted else { return nothing };
        if question.path != ROOT {
            let kept: usize = self.parts.iter().map(|part| part.body.len()).sum();
            if let Some(body) = body.filter(|body| kept + body.len() <= MAX_BYTES) {
                let (url, body) = (question.path.clone(), Bytes::copy_from_slice(body));
                self.parts.push(Part { server, url, body });
            }
            // Also when this one was not read: others were.
            return (Vec::new(), *asked == 0);
        }
        let Some(body) = body else { return nothing };
        let Ok(index) = Index::read(body) else { return nothing };
        let Some(known) = self.indexes.get_mut(server) else { return nothing };
        let mut urls = Vec::new();
        for (gv, _) in wanted.split.iter().filter(|(_, parts)| parts.contains(server)) {
            urls.extend(index.url(&path_of(gv)).filter(|url| may_be_asked(url)));
        }
        self.parts.retain(|part| part.server != server || urls.contains(&part.url.as_str()));
        urls.retain(|url| part(&self.parts, server, url).is_none());
        let ask = |url: &str| Question { server, path: url.to_owned() };
        let questions: Vec<_> = urls.into_iter().map(ask).collect();
        *asked += questions.len();
        let is_new = known.as_ref() != Some(&index);
        *known = Some(index);
        (questions, is_new)
    }

    /// The merged index, and the merged documents of which all parts were read.
    fn documents(&mut self, rows: &Rows) -> Vec<(PageKey, MergedDocument)> {
        let Some(wanted) = &self.wanted else { return Vec::new() };
        let mut index = merged(&self.indexes, |scope| answering(rows, scope));
        // Who asks for what only servers have that cannot be read is told to come again.
        let is_read = |at| matches!(self.indexes.get(at), Some(Some(_)));
        for (gv, listed) in by_group_version(rows) {
            let path = path_of(&gv);
            if index.url(&path).is_none() && !listed.by.iter().any(|id| is_read(id.index())) {
                index.set(&path, &url_of(&gv, None));
            }
        }
        let mut documents = Vec::new();
        for (gv, parts) in &wanted.split {
            let scope = Scope::GroupVersion(gv.group.as_bytes(), gv.version.as_bytes());
            let first = answering(rows, scope);
            let others = parts.iter().map(ServerId::index).filter(|at| Some(*at) != first);
            let mut urls = Vec::new();
            for at in first.into_iter().chain(others) {
                let index = self.indexes.get(at).and_then(Option::as_ref);
                // One that has no document of it yet, or could not be read, is asked again.
                let url = index.and_then(|index| index.url(&path_of(gv))).unwrap_or_default();
                urls.push((at, url.to_owned()));
            }
            if let Some(document) = unite(&self.parts, &mut self.united, gv, urls) {
                index.set(&path_of(gv), &url_of(gv, Some(document.etag.trim_matches('"'))));
                documents.push((page_key(scope, Form::OpenApi), document));
            }
        }
        let key = page_key(Scope::Cluster, Form::OpenApiIndex);
        documents.push((key, MergedDocument { etag: String::new(), body: index.to_json().into() }));
        documents
    }
}

/// Whether what a server names can be a request's path, and one of a document: an index that names
/// itself would be asked for again and again.
fn may_be_asked(url: &str) -> bool {
    let below = url.strip_prefix(ROOT);
    below.is_some_and(|path| path.starts_with('/'))
        && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn part<'p>(parts: &'p [Part], server: usize, url: &str) -> Option<&'p [u8]> {
    let mut found = parts.iter().filter(|part| part.server == server && part.url == url);
    Some(&found.next()?.body)
}

/// The document of a group-version out of its parts, if all of them are there.
fn unite(
    parts: &[Part],
    known: &mut Vec<United>,
    gv: &GroupVersion,
    urls: Vec<(usize, String)>,
) -> Option<MergedDocument> {
    if let Some(known) = known.iter().find(|known| known.gv == *gv && known.urls == urls) {
        return Some(known.document.clone());
    }
    let mut bodies = Vec::new();
    for (at, url) in &urls {
        bodies.push(part(parts, *at, url)?);
    }
    let body: Bytes = united(&bodies).ok()?.into();
    // The hash by which an index names a document.
    let hash: String = Sha512::digest(&body).iter().map(|byte| format!("{byte:02X}")).collect();
    let document = MergedDocument { etag: format!("\"{hash}\""), body };
    known.retain(|known| known.gv != *gv);
    known.push(United { gv: gv.clone(), urls, document: document.clone() });
    Some(document)
}

impl Wanted {
    fn of(rows: &Rows) -> Self {
        let mut split = Vec::new();
        for (gv, Listed { by, whole }) in by_group_version(rows) {
            let parts = by.and(rows.confirmed);
            if !parts.is_empty() && whole.is_empty() {
                split.push((gv, parts));
            }
        }
        Self { confirmed: rows.confirmed, split }
    }
}

/// Who lists something of a group-version.
struct Listed {
    by: ServerSet,
    /// The confirmed servers that list all that a confirmed server lists of it.
    whole: ServerSet,
}

/// In the order of the rows.
fn by_group_version(rows: &Rows) -> Vec<(GroupVersion, Listed)> {
    let mut all: Vec<(GroupVersion, Listed)> = Vec::new();
    for (key, servers) in &rows.apis {
        let mut parts = key.split('/');
        let (Some(group), Some(version)) = (parts.next(), parts.next()) else { continue };
        let is_next = all.last().is_none_or(|(gv, _)| gv.group != group || gv.version != version);
        if is_next {
            let gv = GroupVersion { group: group.to_owned(), version: version.to_owned() };
            all.push((gv, Listed { by: ServerSet::EMPTY, whole: rows.confirmed }));
        }
        let Some((_, listed)) = all.last_mut() else { continue };
        listed.by = listed.by.or(*servers);
        let confirmed = servers.and(rows.confirmed);
        if !confirmed.is_empty() {
            listed.whole = listed.whole.and(confirmed);
        }
    }
    all
}

/// Whom a request for a document is sent to, as `decide` has it.
fn answering(rows: &Rows, scope: Scope<'_>) -> Option<usize> {
    let fullest = |name: &str| {
        let row = rows.scopes.binary_search_by(|(scope, _)| scope.as_str().cmp(name)).ok()?;
        Some(rows.scopes.get(row)?.1)
    };
    let name = match scope {
        Scope::Group(group) => format!("{}/", String::from_utf8_lossy(group)),
        Scope::GroupVersion(group, version) => {
            [group, version].map(String::from_utf8_lossy).join("/")
        }
        _ => String::new(),
    };
    let all = fullest("")?;
    chosen(fullest(&name).unwrap_or(all), all).map(ServerId::index)
}

/// As an index names it.
fn path_of(gv: &GroupVersion) -> String {
    gv.path().trim_start_matches('/').to_owned()
}

fn url_of(gv: &GroupVersion, hash: Option<&str>) -> String {
    let query = hash.map(|hash| format!("?hash={hash}")).unwrap_or_default();
    format!("{ROOT}{}{query}", gv.path())
}

#[cfg(test)]
#[path = "reader/tests.rs"]
mod tests;
