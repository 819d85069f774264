//! Lua scripts, run by Redis in one round trip.

use std::fmt;

use redis::{ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind, ToRedisArgs};

use super::link::Connection;

/// A Lua script on one key, so that a cluster knows where it belongs; or on several, which in a
/// cluster share a hash tag.
pub struct CacheScript {
    text: String,
    hash: String,
}

impl CacheScript {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let hash = Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// Runs the script by its hash; where that server does not know it, sends the text, which also
    /// stores it there.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        mut connection: Connection,
        keys: &[impl ToRedisArgs],
        arguments: &[impl ToRedisArgs],
    ) -> Result<T, RedisError> {
        let call = |name: &str, what: &str| {
            let mut command = redis::cmd(name);
            command.arg(what).arg(keys.len());
            command.arg(keys).arg(arguments);
            command
        };
        match call("EVALSHA", &self.hash)
            .query_async(&mut connection)
            .await
        {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                call("EVAL", &self.text).query_async(&mut connection).await
            }
            answer => answer,
        }
    }
}

impl fmt::Debug for CacheScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheScript").field(&self.hash).finish()
    }
}
