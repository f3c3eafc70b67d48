//! Errors of the table.

use std::error::Error;
use std::fmt;

use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};

/// A read or write of the table that failed. Its kind says whether another try can help; no error shows an item, or the
/// response that it came in (which may hold an address).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table did not answer, or asks for patience (throttled, internal error): try again.
    #[error("the table's {operation} failed")]
    Unavailable {
        /// The request, as DynamoDB's API names it.
        operation: &'static str,
        /// The answer of DynamoDB or of the connection.
        #[source]
        source: Cause,
    },
    /// Too many write the same item at once: try again.
    #[error("{item} is being changed by too many at once")]
    Contended {
        /// The kind of item.
        item: &'static str,
    },
    /// An item that is there cannot be read, or a value does not fit into one. Trying again is of no use.
    #[error("a {item} item in the table cannot be {done}")]
    Corrupt {
        /// The kind of item.
        item: &'static str,
        /// `read` or `written`.
        done: &'static str,
    },
    /// DynamoDB refuses the request (no permission, no such table, not valid) until a person mends that.
    #[error("the table refuses {operation}")]
    Denied {
        /// The request, as DynamoDB's API names it.
        operation: &'static str,
        /// The answer of DynamoDB.
        #[source]
        source: Cause,
    },
}

/// The answer of DynamoDB or of the connection to it, without the response; with its own cause, down to the first.
#[derive(Debug)]
pub struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

/// DynamoDB's codes for a request that stays refused however often it is sent: "Error handling with DynamoDB" in its
/// developer guide names these with "OK to retry? No". Its `ConditionalCheckFailedException` is an outcome, and never comes here.
const REFUSALS: [&str; 7] = [
    "AccessDeniedException",
    "IncompleteSignatureException",
    "ItemCollectionSizeLimitExceededException",
    "MissingAuthenticationTokenException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
];

impl StoreError {
    /// The kind of an SDK error, and its text without the response that it carries.
    pub(crate) fn of<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug + Send + Sync + 'static,
    {
        let source = Cause::of_request(error);
        match error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default() {
            // Transactions that met, also cancelled ones: what else cancels them is an outcome and never comes here.
            "TransactionConflictException" | "TransactionInProgressException" => {
                Self::Contended { item: "an item" }
            }
            code if REFUSALS.contains(&code) => Self::Denied { operation, source },
            _ => Self::Unavailable { operation, source },
        }
    }

    /// Too many at the same item; another try later will do.
    pub fn contended(item: &'static str) -> Self {
        Self::Contended { item }
    }

    /// A request that could not even be put together.
    pub(crate) fn built(error: BuildError) -> Self {
        Self::Denied { operation: "request", source: Cause::new(error.to_string()) }
    }

    /// An item that cannot be read. Only its kind is shown.
    pub(crate) fn unreadable(item: &'static str) -> Self {
        Self::Corrupt { item, done: "read" }
    }

    /// A value that does not fit into an item.
    pub(crate) fn unwritable(item: &'static str) -> Self {
        Self::Corrupt { item, done: "written" }
    }

    /// Whether another try, later, can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Contended { .. })
    }

    /// Whether an item is there and cannot be read.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}

impl Cause {
    pub(crate) fn new(message: String) -> Self {
        Self { message, source: None }
    }

    /// What DynamoDB said to a request, or what kept it from saying anything.
    pub(crate) fn of_request<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug + Send + Sync + 'static,
    {
        let Some(service) = error.as_service_error() else { return Self::of(error) };
        let code = service.code().unwrap_or("error without a code");
        Self::new(format!("{code}: {}", service.message().unwrap_or("no message")))
    }

    /// The texts of an error and of its causes. A cause whose text its effect repeats at its end is left out.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let message = error.to_string();
        let source = error.source().map(Self::of);
        match source {
            Some(source) if message.ends_with(&source.message) => Self { message, source: source.source },
            source => Self { message, source: source.map(Box::new) },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::get_item::GetItemError;

    use super::*;

    fn of(code: &str) -> StoreError {
        let said = GetItemError::generic(ErrorMetadata::builder().code(code).message("said").build());
        StoreError::of("GetItem", &SdkError::<_, ()>::service_error(said, ()))
    }

    #[test]
    fn an_error_has_a_kind_and_only_two_of_them_are_worth_another_try() {
        for code in REFUSALS {
            assert!(matches!(of(code), StoreError::Denied { .. }), "{code}");
            assert!(!of(code).is_transient());
        }
        for code in [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "RequestLimitExceeded",
            "InternalServerError",
            "ExpiredTokenException",
            "SomethingNew",
        ] {
            assert!(matches!(of(code), StoreError::Unavailable { .. }), "{code}");
            assert!(of(code).is_transient());
        }
        assert!(matches!(of("TransactionConflictException"), StoreError::Contended { .. }));
        let unreadable = StoreError::unreadable("cursor");
        assert!(!unreadable.is_transient() && unreadable.is_corrupt());
    }

    #[test]
    fn an_error_keeps_its_causes_and_none_is_said_twice() {
        let said = of("ThrottlingException");
        assert_eq!(said.to_string(), "the table's GetItem failed");
        assert_eq!(said.source().unwrap().to_string(), "ThrottlingException: said");
        let refused = std::io::Error::other("connection refused");
        let timeout = SdkError::<GetItemError, ()>::timeout_error(refused);
        let error = StoreError::of("GetItem", &timeout);
        assert!(error.is_transient());
        let (mut texts, mut next) = (Vec::new(), error.source());
        while let Some(cause) = next {
            texts.push(cause.to_string());
            next = cause.source();
        }
        assert_eq!(texts, ["request has timed out", "connection refused"]);
    }
}
