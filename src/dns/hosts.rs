//! The addresses of hosts that the operator names: as `/etc/hosts` has them, else as DNS does, with the time for which that
//! may be believed, else as the system finds them (search domains and whatever else it knows). Not for customers' names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::exchange::{Code, Flags};
use super::{Dns, MOST_ALIASES, MOST_TIMEOUTS, Outcome, Read, RecordKind};

impl Dns {
    /// At least one address, and for how long it may be believed (RFC 1035 §3.2.1; zero where nobody says so). The system is
    /// asked only where `[dns] servers` names nobody else.
    pub async fn host(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let listed = tokio::fs::read_to_string(HOSTS).await.map(|text| in_hosts(&text, host)).unwrap_or_default();
        if !listed.is_empty() {
            return Ok((listed, Duration::ZERO));
        }
        if host == "localhost" || host.ends_with(".localhost") {
            // RFC 6761 §6.3: whoever is asked.
            return Ok((vec![Ipv4Addr::LOCALHOST.into()], Duration::ZERO));
        }
        let asking = tokio::time::timeout(self.0.timeout * MOST_TIMEOUTS, self.host_at_servers(host));
        let why = match asking.await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(why)) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        if self.0.chosen {
            return Err(why);
        }
        match tokio::net::lookup_host((host, 0)).await {
            Ok(found) => match found.map(|address| address.ip()).collect::<Vec<_>>() {
                none if none.is_empty() => Err(why),
                some => Ok((some, Duration::ZERO)),
            },
            Err(_) => Err(why),
        }
    }

    async fn host_at_servers(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let mut last = "no resolver is configured".to_owned();
        for server in &self.0.servers {
            let four = self.addresses_at(*server, host, RecordKind::A);
            let six = self.addresses_at(*server, host, RecordKind::Aaaa);
            match tokio::join!(four, six) {
                (Ok((mut all, a)), Ok((six, b))) => {
                    all.extend(six);
                    if all.is_empty() {
                        return Err(format!("{server}: it has no address"));
                    }
                    return Ok((all, a.min(b)));
                }
                // One family is enough to go on, and it is asked again soon.
                (Ok((some, _)), Err(_)) | (Err(_), Ok((some, _))) if !some.is_empty() => {
                    return Ok((some, Duration::ZERO));
                }
                (Err(why), _) | (_, Err(why)) => last = format!("{server}: {why}"),
            }
        }
        Err(last)
    }

    /// The addresses of one family; without any, they are believed to be none for as long as the other family holds.
    async fn addresses_at(
        &self,
        server: SocketAddr,
        host: &str,
        kind: RecordKind,
    ) -> Result<(Vec<IpAddr>, Duration), String> {
        let (mut asked, mut ttl) = (host.to_owned(), Duration::MAX);
        for _ in 0..MOST_ALIASES {
            let answer = self.ask(server, &asked, kind, Flags { recurse: true, unchecked: false }).await?;
            if answer.code == Code::ServerFailure {
                return Err("the server failed (SERVFAIL)".into());
            }
            ttl = ttl.min(answer.ttl.unwrap_or(Duration::MAX));
            match self.read(&asked, kind, &answer) {
                Read::Outcome(Outcome::Records(records)) => {
                    return Ok((records.iter().filter_map(|text| text.parse().ok()).collect(), ttl));
                }
                Read::Outcome(Outcome::Failed(why)) => return Err(why),
                Read::Outcome(_) => return Ok((Vec::new(), ttl)),
                Read::Alias(target) => asked = target,
            }
        }
        Err(format!("more than {MOST_ALIASES} CNAMEs in a row"))
    }
}

/// The addresses that a hosts file (hosts(5)) has for a host, in its order.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let listed = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    });
    listed.collect()
}

const HOSTS: &str = "/etc/hosts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read_as_hosts_5_says() {
        let text = "# 10.0.0.9 app\n10.0.0.1\tApp app.internal # old\n::1 localhost\n10.0.0.2 app\nnonsense app\n";
        let of = |host| in_hosts(text, host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of("app"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(of("app.internal"), ["10.0.0.1"]);
        assert_eq!(of("old"), Vec::<String>::new());
        assert_eq!(of("localhost"), ["::1"]);
    }
}
