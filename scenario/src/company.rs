//! A generated company: its hosts and the accounts of its people.

use rand::seq::SliceRandom;

use crate::random::seeded;

/// Default number of background lines in a scenario: 17 a second, or 1,000 a second at 60 times
/// the speed.
pub const BACKGROUND_LINES: usize = 20_000;

/// Length of a scenario, in seconds of event time.
pub const LENGTH_SECONDS: i64 = 1_200;

/// Number of administrators who take part in the intrusion; the others do ordinary maintenance.
pub(crate) const ADMINISTRATORS_CAST: usize = 2;

/// One host of a company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanyHost {
    pub name: String,
    pub address: String,
}

/// A company of a hundred hosts and a hundred people. The same seed gives the same company.
#[derive(Clone, Debug)]
pub struct Company {
    pub seed: u64,
    pub jump: CompanyHost,
    pub tickets: CompanyHost,
    pub web: Vec<CompanyHost>,
    pub databases: Vec<CompanyHost>,
    pub applications: Vec<CompanyHost>,
    /// Sixty; the last forty people share them with the first forty.
    pub workstations: Vec<CompanyHost>,
    /// Account names.
    pub people: Vec<String>,
    /// Number of people, the first in `people`, who may do maintenance as root.
    pub administrators: usize,
}

const FIRST_NAMES: [&str; 25] = [
    "anna", "bela", "carla", "dario", "elif", "farid", "greta", "hana", "igor", "jonas", "katja",
    "lars", "mira", "nils", "olga", "pavel", "quinn", "rosa", "selma", "tariq", "uwe", "vera",
    "wanda", "yusuf", "zoe",
];

/// Suffixes of the first names, which make a hundred different accounts.
const INITIALS: [&str; 4] = ["b", "k", "m", "s"];

impl Company {
    /// Generates the company of a seed.
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
        let hosts = |role: &str, net: u8, number: usize| -> Vec<CompanyHost> {
            (1..=number)
                .map(|n| CompanyHost {
                    name: format!("{role}-{n:02}"),
                    address: format!("10.20.{net}.{}", n + 9),
                })
                .collect()
        };
        Self {
            seed,
            jump: CompanyHost {
                name: "jump-01".into(),
                address: "10.20.1.10".into(),
            },
            tickets: CompanyHost {
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

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &CompanyHost> {
        [&self.jump, &self.tickets]
            .into_iter()
            .chain(&self.web)
            .chain(&self.databases)
            .chain(&self.applications)
            .chain(&self.workstations)
    }

    /// Hosts that run daemons: all except the workstations.
    #[must_use]
    pub fn servers(&self) -> Vec<&CompanyHost> {
        self.hosts().take(2 + 8 + 6 + 24).collect()
    }

    /// The workstation of a person, by index in `people`.
    #[must_use]
    pub fn workstation(&self, person: usize) -> &CompanyHost {
        &self.workstations[person % self.workstations.len()]
    }
}
