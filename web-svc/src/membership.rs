//! The processes of an installation: which of them live, and which one leads.
//!
//! On SQLite there is one, and it leads. On etcd every process has a lease, and an election decides who leads.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;
use triton_api::cluster::Worker;

use crate::journal::Term;

/// What one process knows of all. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Membership {
    own: watch::Sender<Worker>,
    /// All processes by their ids, as far as they are known; `None` for a process that is alone.
    others: Option<watch::Receiver<Option<Arc<BTreeMap<String, Worker>>>>>,
    leader: watch::Receiver<Option<String>>,
    /// A sender, for a term lasts as long as somebody could end it.
    term: watch::Sender<Option<Term>>,
}

impl Membership {
    /// Of a process that is alone, and leads for as long as it lives.
    pub fn alone(own: Worker) -> Self {
        let leader = watch::Sender::new(Some(own.id.clone())).subscribe();
        let term = watch::Sender::new(Some(Term::sole()));
        Self { own: watch::Sender::new(own), others: None, leader, term }
    }

    /// Of a process among others.
    pub(crate) fn among(
        own: watch::Sender<Worker>,
        others: watch::Receiver<Option<Arc<BTreeMap<String, Worker>>>>,
        leader: watch::Receiver<Option<String>>,
        term: watch::Sender<Option<Term>>,
    ) -> Self {
        Self { own, others: Some(others), leader, term }
    }

    /// The id of this process: unique among all that ever ran.
    pub fn own_id(&self) -> String {
        self.own.borrow().id.clone()
    }

    /// Every process that lives, as far as is known here.
    pub fn processes(&self) -> Vec<Worker> {
        match &self.others {
            Some(others) => others.borrow().iter().flat_map(|others| others.values().cloned()).collect(),
            None => vec![self.own.borrow().clone()],
        }
    }

    /// Whether a process lives, as far as is known here: nobody is taken for dead before the others have been looked at.
    pub fn is_live(&self, id: &str) -> bool {
        match &self.others {
            Some(others) => others.borrow().as_ref().is_none_or(|others| others.contains_key(id)),
            None => self.own.borrow().id == id,
        }
    }

    /// Whether this process is the only one, by the way metadata is kept.
    pub fn is_alone(&self) -> bool {
        self.others.is_none()
    }

    /// The process that leads.
    pub fn leader(&self) -> Option<String> {
        self.leader.borrow().clone()
    }

    /// The term in which this process leads, as it begins and ends.
    pub fn term(&self) -> watch::Receiver<Option<Term>> {
        self.term.subscribe()
    }

    /// Tells the others how many jobs run here.
    pub fn runs(&self, jobs: u32) {
        self.own.send_if_modified(|own| std::mem::replace(&mut own.running, jobs) != jobs);
    }
}
