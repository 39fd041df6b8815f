//! What nodes tell each other: which lanes have something new, and that the configuration was changed.
//!
//! `NOTIFY` is a hint. It is sent after the commit and apart from it, since a commit that notifies waits for
//! all others that do. What gets lost, as everything does behind a pooler in transaction mode, is found by
//! looking at the due times every ten seconds, and at the configuration every second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::node::Node;
use super::questions::present_revision;
use super::session::{Connector, Session, in_time};
use super::wire::raw;
use crate::clock::Timestamp;
use crate::id::SubscriptionId;
use crate::store::{CommitNotices, LaneNotice};

/// How often lanes are looked at while there are other nodes.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Pause before the connection is made again.
const RECONNECT: Duration = Duration::from_secs(1);
/// Most lanes in one notification, which may have 8,000 bytes.
const LANES_MAX: usize = 200;

/// Something that other nodes ought to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// These lanes have something new.
    Lanes(Vec<SubscriptionId>),
    /// The configuration was changed.
    Configuration,
    /// Lanes were given back.
    Freed,
}

impl News {
    /// As the text of a notification of the node with this tag.
    pub(super) fn text(&self, tag: u64) -> String {
        match self {
            Self::Lanes(lanes) => {
                let lanes: Vec<_> = lanes.iter().map(|lane| format!("{:032x}", lane.raw())).collect();
                format!("{tag:x} lanes {}", lanes.join(","))
            }
            Self::Configuration => format!("{tag:x} configuration"),
            Self::Freed => format!("{tag:x} freed"),
        }
    }

    /// What a notification says that is not of the node with this tag.
    fn of_others(text: &str, tag: u64) -> Option<Self> {
        let mut words = text.split(' ');
        if u64::from_str_radix(words.next()?, 16).ok()? == tag {
            return None;
        }
        match words.next()? {
            "configuration" => Some(Self::Configuration),
            "freed" => Some(Self::Freed),
            "lanes" => {
                let lanes = words.next()?.split(',').filter_map(|lane| u128::from_str_radix(lane, 16).ok());
                Some(Self::Lanes(lanes.map(SubscriptionId::from_raw).collect()))
            }
            _ => None,
        }
    }
}

/// Hears and tells.
pub(super) struct Listener {
    pub(super) connector: Connector,
    pub(super) node: Arc<Node>,
    pub(super) notices: Arc<CommitNotices>,
    pub(super) news: mpsc::UnboundedReceiver<News>,
}

impl Listener {
    /// Hears and tells until the store ends.
    pub(super) async fn run(mut self) {
        loop {
            if let Err(fault) = self.serve().await {
                tracing::debug!(?fault, "notifications stop for a moment");
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn serve(&mut self) -> Result<(), Fault> {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let session = self.connector.connect_listening(sender).await?;
        in_time(session.run("LISTEN postrider")).await?;
        loop {
            // What happened before it listened is found by looking.
            in_time(self.look(&session)).await?;
            let until_look = tokio::time::sleep(LOOK_EVERY);
            tokio::pin!(until_look);
            loop {
                tokio::select! {
                    text = heard.recv() => match text {
                        Some(text) => in_time(self.hear(&session, &text)).await?,
                        None => return Ok(()),
                    },
                    Some(news) = self.news.recv() => in_time(self.tell(&session, news)).await?,
                    () = &mut until_look => break,
                }
            }
        }
    }

    async fn hear(&self, session: &Session, text: &str) -> Result<(), Fault> {
        match News::of_others(text, self.node.tag()) {
            Some(News::Configuration) => self.node.see_revision(present_revision(session).await?),
            Some(News::Lanes(lanes)) => self.notices.post(lanes.into_iter().map(|lane| (lane, look_at(Timestamp::default())))),
            Some(News::Freed) => self.node.see_freed(),
            None => {}
        }
        Ok(())
    }

    async fn tell(&self, session: &Session, news: News) -> Result<(), Fault> {
        let portions = match &news {
            News::Lanes(lanes) => lanes.chunks(LANES_MAX).map(|lanes| News::Lanes(lanes.to_vec())).collect(),
            News::Configuration | News::Freed => vec![news],
        };
        for portion in portions {
            session.query("SELECT pg_notify('postrider', $1)", &[(&portion.text(self.node.tag()), Type::TEXT)]).await?;
        }
        Ok(())
    }

    /// Tells the lanes when their first rows are due, if anybody else can have written them.
    async fn look(&self, session: &Session) -> Result<(), Fault> {
        if !self.node.has_others() {
            return Ok(());
        }
        let statement = "SELECT lanes.subscription, first.due_at FROM (SELECT DISTINCT subscription FROM postrider.counts) AS lanes \
             CROSS JOIN LATERAL (SELECT due_at FROM postrider.due WHERE due.subscription = lanes.subscription \
               ORDER BY due_at, delivery LIMIT 1) AS first";
        let rows = session.query(statement, &[]).await?;
        let notice = |row: &tokio_postgres::Row| (SubscriptionId::from_raw(raw(row, 0)), look_at(Timestamp::from_unix_ms(row.get(1))));
        self.notices.post(rows.iter().map(notice));
        Ok(())
    }
}

/// Has a lane look into its index for what is due at `due_at`.
fn look_at(due_at: Timestamp) -> LaneNotice {
    LaneNotice { earliest_due: Some(due_at), ..LaneNotice::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_others_are_read_and_ones_own_are_not() {
        let lanes = News::Lanes(vec![SubscriptionId::from_raw(7), SubscriptionId::from_raw(u128::MAX)]);
        for news in [lanes, News::Configuration, News::Freed] {
            assert_eq!(News::of_others(&news.text(5), 6), Some(news.clone()));
            assert_eq!(News::of_others(&news.text(5), 5), None);
        }
        for text in ["", "x lanes", "5", "5 lanes", "5 other 7"] {
            assert!(matches!(News::of_others(text, 6), None | Some(News::Lanes(_))), "{text}");
        }
        assert!(News::Lanes(vec![SubscriptionId::from_raw(7); LANES_MAX]).text(u64::MAX).len() < 8_000);
    }
}
