//! SES v2, captured: what a shop would have mailed, kept in an inbox.
