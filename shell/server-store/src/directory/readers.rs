//! A few connections that only read, each question on a blocking thread.
//!
//! - A question sees one moment of the database (one read transaction).

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use halcyon_server::ports::DirectoryStoreError;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::writer::Writer;
use super::{Options, connect, failed};
use crate::Execution;

/// Reads are memory lookups in SQLite's and the kernel's cache; more connections only cost memory.
const READERS_MAX: usize = 4;

/// The pool.
pub(super) struct Readers {
    path: PathBuf,
    options: Options,
    writer: Arc<Writer>,
    idle: Mutex<Vec<Connection>>,
    turns: Semaphore,
}

impl Readers {
    /// Makes an empty pool; connections are opened when they are needed.
    pub(super) fn new(path: PathBuf, options: Options, writer: Arc<Writer>) -> Self {
        Self { path, options, writer, idle: Mutex::new(Vec::new()), turns: Semaphore::new(READERS_MAX) }
    }

    /// Answers a question.
    pub(super) async fn run<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DirectoryStoreError> {
        if self.options.execution != Execution::Threads {
            return self.writer.look(|connection| ask(connection, question)).await;
        }
        let _turn = self.turns.acquire().await.map_err(|error| DirectoryStoreError::Failed(error.to_string()))?;
        let pool = std::sync::Arc::clone(self);
        let answered = tokio::task::spawn_blocking(move || pool.answer(question)).await;
        answered.map_err(|error| DirectoryStoreError::Failed(error.to_string()))?.map_err(|error| failed(&error))
    }

    fn answer<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path, &self.options)?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        let answer = ask(&connection, question);
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(connection);
        answer
    }
}

fn ask<T>(connection: &Connection, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    let answer = question(&transaction);
    // Ends the read either way; nothing was written.
    transaction.rollback()?;
    answer
}
