//! A generated company: its hosts and people, and a scenario of twenty minutes in its life.
//!
//! The scenario knows its answer: what it plants, it plants with the alert that must come of it,
//! and its background stays below every rule by construction (`script.rs`, "Budgets").

use rand::seq::SliceRandom;

use crate::random::seeded;

/// Lines of background in a scenario unless asked otherwise: 17 a second, 1,000 a second when
/// played at 60x.
pub const BACKGROUND_LINES: usize = 20_000;

/// Length of a scenario in seconds of event time.
pub const LENGTH_SECONDS: i64 = 1_200;

/// Number of administrators who take part in the intrusion; the others do ordinary maintenance.
pub(crate) const ADMINISTRATORS_CAST: usize = 2;

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub address: String,
}

/// A hundred hosts and a hundred people, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Company {
    pub seed: u64,
    pub jump: Host,
    pub tickets: Host,
    pub web: Vec<Host>,
    pub databases: Vec<Host>,
    pub applications: Vec<Host>,
    /// One for each of the people.
    pub workstations: Vec<Host>,
    /// Names of accounts.
    pub people: Vec<String>,
    /// The first of `people` who may do maintenance as root.
    pub administrators: usize,
}

const FIRST_NAMES: [&str; 25] = [
    "anna", "bela", "carla", "dario", "elif", "farid", "greta", "hana", "igor", "jonas", "katja",
    "lars", "mira", "nils", "olga", "pavel", "quinn", "rosa", "selma", "tariq", "uwe", "vera",
    "wanda", "yusuf", "zoe",
];

/// What follows the first name, so that a hundred accounts differ.
const INITIALS: [&str; 4] = ["b", "k", "m", "s"];

impl Company {
    /// The company of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut people: Vec<String> = FIRST_NAMES
            .iter()
            .flat_map(|name| {
                INITIALS
                    .iter()
                    .map(move |initial| format!("{name}{initial}"))
            })
            .collect();
        people.shuffle(&mut seeded(seed, 1));
        let hosts = |role: &str, net: u8, number: usize| -> Vec<Host> {
            (1..=number)
                .map(|n| Host {
                    name: format!("{role}-{n:02}"),
                    address: format!("10.20.{net}.{}", n + 9),
                })
                .collect()
        };
        Self {
            seed,
            jump: Host {
                name: "jump-01".into(),
                address: "10.20.1.10".into(),
            },
            tickets: Host {
                name: "tickets-01".into(),
                address: "10.20.1.11".into(),
            },
            web: hosts("web", 2, 8),
            databases: hosts("db", 3, 6),
            applications: hosts("app", 4, 24),
            workstations: hosts("ws", 8, 60),
            people,
            administrators: 16,
        }
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        [&self.jump, &self.tickets]
            .into_iter()
            .chain(&self.web)
            .chain(&self.databases)
            .chain(&self.applications)
            .chain(&self.workstations)
    }

    /// Hosts on which daemons run: all but the workstations.
    #[must_use]
    pub fn servers(&self) -> Vec<&Host> {
        self.hosts().take(2 + 8 + 6 + 24).collect()
    }

    /// Where a person sits; the last forty share rooms with others.
    #[must_use]
    pub fn workstation(&self, person: usize) -> &Host {
        &self.workstations[person % self.workstations.len()]
    }
}
