//! A client that asks for topics and makes them, with every login that a [`super::Publisher`] has. Functions need none: it is
//! for the operator's program.

use rdkafka::{ClientConfig, admin::AdminClient, client::ClientContext, config::RDKafkaLogLevel};

use super::{
    ClientError, Kafka,
    context::{Context, LastFault},
    msk_iam::Signer,
    security::Mode,
};

/// An admin client of `kafka`. `signer` is needed for MSK's IAM login and not used for any other.
///
/// # Errors
/// When the settings make no client. Brokers are not asked yet.
pub fn admin(
    kafka: &Kafka,
    signer: Option<Signer>,
) -> Result<AdminClient<impl ClientContext + use<>>, ClientError> {
    if kafka.security.mode() == Mode::MskIam && signer.is_none() {
        return Err(ClientError::NoSigner);
    }
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("client.id", "notify-me")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set_log_level(RDKafkaLogLevel::Info);
    for (name, value) in kafka.security.client_settings() {
        config.set(name, value);
    }
    let context = Context::new(&kafka.security, signer, LastFault::default());
    Ok(config.create_with_context::<_, AdminClient<Context>>(context)?)
}
