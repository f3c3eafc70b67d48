//! The HTTP front: what API Gateway is on AWS.
