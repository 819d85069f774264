//! How Redis is reached: one server, a cluster, or whichever server the sentinels call master.
//!
//! | address | what |
//! |---|---|
//! | `redis://user:password@host:6379/0`, `redis+unix:///path` | one server; the connection mends itself |
//! | `redis+cluster://user:password@one:6379,two:6379` | a cluster, found through any of the nodes named |
//! | `redis+sentinel://user:password@one:26379,two:26379/mymaster/0` | the master that the sentinels name; user and password are the master's |
//!
//! A cluster is up while every master that we know answers and calls the cluster whole: with half a
//! cluster, every other key would wait. After a failed command behind sentinels the connection is
//! dropped and the sentinels are asked again, since the old master may come back as a replica,
//! which answers a ping and refuses to write. A cluster's connection is made anew after a failed
//! ping.

use std::{collections::HashMap, future, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, Pipeline, RedisError,
    RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::{sync::Mutex, time::timeout};

/// How long a connection may take to come about.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one attempt at reconnecting rests before the next.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Redis, wherever it is just now.
pub(super) struct Link {
    target: Target,
    /// What commands go over; none while it has to be found again.
    open: ArcSwapOption<Connection>,
}

enum Target {
    /// Its one connection stays in `open` for good.
    One,
    Cluster(Box<ClusterClient>),
    /// Behind a lock, because the client remembers which sentinel answered.
    Sentinels(Box<Mutex<SentinelClient>>),
}

/// A connection, cheap to clone.
#[derive(Clone)]
pub(super) enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
    Master(MultiplexedConnection),
}

impl Link {
    /// Nothing is connected yet, except that a single server is on its way. `response_timeout`
    /// bounds each answer.
    pub(super) fn new(url: &str, response_timeout: Duration) -> Result<Self, RedisError> {
        if let Some(rest) = url.strip_prefix("redis+cluster://") {
            let nodes = node_urls(rest)?.0;
            let client = ClusterClientBuilder::new(nodes)
                .retries(1)
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(response_timeout)
                .build()?;
            return Ok(Self::unconnected(Target::Cluster(Box::new(client))));
        }
        if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            let client = sentinel_client(rest)?;
            return Ok(Self::unconnected(Target::Sentinels(Box::new(Mutex::new(
                client,
            )))));
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout))
            .set_number_of_retries(1)
            .set_max_delay(RECONNECT_DELAY_MAX);
        let manager = Client::open(url)?.get_connection_manager_lazy(config)?;
        let open = ArcSwapOption::from_pointee(Connection::One(manager));
        Ok(Self {
            target: Target::One,
            open,
        })
    }

    fn unconnected(target: Target) -> Self {
        Self {
            target,
            open: ArcSwapOption::empty(),
        }
    }

    pub(super) fn connection(&self) -> Option<Connection> {
        self.open.load().as_deref().cloned()
    }

    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }

    /// A command has failed.
    pub(super) fn suspect(&self) {
        match self.target {
            Target::One | Target::Cluster(_) => {}
            Target::Sentinels(_) => self.open.store(None),
        }
    }

    /// Whether Redis answers, after connecting if need be. Takes [`CONNECT_TIMEOUT`] at most.
    pub(super) async fn ping(&self) -> bool {
        let asking = async {
            let mut connection = self.connection_or_new().await?;
            redis::cmd("PING")
                .query_async::<()>(&mut connection)
                .await?;
            match &mut connection {
                Connection::One(_) | Connection::Master(_) => Ok(()),
                Connection::Cluster(cluster) => whole(cluster).await,
            }
        };
        let up = matches!(timeout(CONNECT_TIMEOUT, asking).await, Ok(Ok(())));
        if !up {
            match self.target {
                Target::One => {}
                Target::Cluster(_) | Target::Sentinels(_) => self.open.store(None),
            }
        }
        up
    }

    async fn connection_or_new(&self) -> Result<Connection, RedisError> {
        if let Some(connection) = self.connection() {
            return Ok(connection);
        }
        let made = match &self.target {
            Target::One => return Err(wrong("the one connection is gone")),
            Target::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
            Target::Sentinels(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(Some(CONNECT_TIMEOUT));
                let mut client = client.lock().await;
                Connection::Master(client.get_async_connection_with_config(&config).await?)
            }
        };
        self.open.store(Some(Arc::new(made.clone())));
        Ok(made)
    }
}

/// Every node answers pings, also one that has lost slots or has just come back and refuses to work
/// yet. They do not learn of it in the same moment, so each master is asked.
async fn whole(cluster: &mut ClusterConnection) -> Result<(), RedisError> {
    let mut question = redis::cmd("CLUSTER");
    question.arg("INFO");
    let everybody = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let said = cluster.route_command(question, everybody).await?;
    let said: HashMap<String, String> = redis::from_redis_value(said)?;
    let sound = |word: &String| word.contains("cluster_state:ok");
    if !said.is_empty() && said.values().all(sound) {
        Ok(())
    } else {
        Err(wrong("the cluster is not whole"))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(inner) => inner.req_packed_command(command),
            Self::Cluster(inner) => inner.req_packed_command(command),
            Self::Master(inner) => inner.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(future::ready(Err(wrong("pipelines are not used here"))))
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(inner) => inner.get_db(),
            Self::Cluster(inner) => inner.get_db(),
            Self::Master(inner) => inner.get_db(),
        }
    }
}

/// One address for each node of `user:password@one:1,two:2/rest`, and the rest.
fn node_urls(text: &str) -> Result<(Vec<String>, &str), RedisError> {
    let (nodes, rest) = text.split_once('/').unwrap_or((text, ""));
    let (account, hosts) = match nodes.rsplit_once('@') {
        Some((account, hosts)) => (format!("{account}@"), hosts),
        None => (String::new(), nodes),
    };
    if hosts.split(',').any(str::is_empty) {
        return Err(wrong("a node without a name"));
    }
    let urls = hosts
        .split(',')
        .map(|host| format!("redis://{account}{host}"));
    Ok((urls.collect(), rest))
}

fn sentinel_client(text: &str) -> Result<SentinelClient, RedisError> {
    let (nodes, rest) = node_urls(text)?;
    let (name, number) = rest.split_once('/').unwrap_or((rest, "0"));
    if name.is_empty() {
        return Err(wrong("the master's name is missing"));
    }
    let number = number
        .parse()
        .map_err(|_| wrong("the database is not a number"))?;
    let nodes: Vec<_> = nodes
        .into_iter()
        .map(IntoConnectionInfo::into_connection_info)
        .collect::<Result<_, _>>()?;
    let account = nodes.first().map(|node| node.redis_settings().clone());
    let sentinels = nodes.iter().map(|node| node.addr().clone());
    let mut builder = SentinelClientBuilder::new(sentinels, name, SentinelServerType::Master)?
        .set_client_to_redis_db(number);
    if let Some(account) = account {
        if let Some(user) = account.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = account.password() {
            builder = builder.set_client_to_redis_password(password);
        }
    }
    builder.build()
}

fn wrong(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_an_address_share_the_account() {
        let (nodes, rest) = node_urls("me:p%40ss@one:6379,two:6380/mymaster/2").unwrap();
        assert_eq!(
            nodes,
            ["redis://me:p%40ss@one:6379", "redis://me:p%40ss@two:6380"]
        );
        assert_eq!(rest, "mymaster/2");
        assert_eq!(node_urls("one:1").unwrap().0, ["redis://one:1"]);
        assert!(node_urls("one:1,,two:2").is_err());
        assert!(node_urls("").is_err());
    }

    #[tokio::test]
    async fn an_address_that_makes_no_sense_is_refused_whatever_its_kind() {
        let max_wait = Duration::from_millis(50);
        for good in [
            "redis://localhost",
            "redis+cluster://localhost:1,localhost:2",
            "redis+sentinel://:secret@localhost:1/mymaster",
            "redis+sentinel://localhost:1/mymaster/3",
        ] {
            assert!(Link::new(good, max_wait).is_ok(), "{good}");
        }
        for bad in [
            "http://localhost",
            "redis+cluster://",
            "redis+cluster://localhost:none",
            "redis+sentinel://localhost:1",
            "redis+sentinel://localhost:1/mymaster/first",
        ] {
            assert!(Link::new(bad, max_wait).is_err(), "{bad}");
        }
    }
}
