//! One request: a client that follows no redirect, a reply read up to its bound, errors without addresses or keys.

use super::chat::Count;
use super::status::{refusal, spoken, told};
use crate::config::EndpointSettings;
use crate::error::{Error, Result};
use crate::llm::journal::drawn;
use crate::llm::key::Key;
use crate::llm::{Refusal, Usage};
use crate::model::Reason;
use crate::sink::file::away;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Proxy, RequestBuilder, Response, Url, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::error::Error as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// A client and its address.
#[derive(Debug)]
pub struct Wire {
    client: Client,
    base: Url,
    name: String,
    key: Option<Key>,
    most_reply_bytes: usize,
    timeout: Duration,
}

/// Bytes a second that a long transfer has at least.
const SLOWEST: u64 = 64 << 10;

impl Wire {
    /// Opens the client of the endpoint `name`; nothing is sent yet. `bearer`: the key goes into a header.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the address is none or the key's variable is not set.
    pub fn open(name: &str, settings: &EndpointSettings, bearer: bool) -> Result<Self> {
        let base = Url::parse(settings.url.trim_end_matches('/'))
            .map_err(|cause| Error::config(format!("no address: key=endpoints.{name}.url")).because(cause))?;
        let setting = format!("endpoints.{name}.key_env");
        let key = match settings.key_env.as_str() {
            "" => None,
            variable => Some(Key::from_env(&setting, variable)?),
        };
        // The provider is the process's; a second endpoint finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = key.as_ref().filter(|_| bearer) {
            headers.insert(AUTHORIZATION, key.bearer());
        }
        let mut builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("isogloss/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(Duration::from_secs_f64(settings.connect_timeout_seconds))
            .timeout(Duration::from_secs_f64(settings.timeout_seconds))
            .pool_max_idle_per_host(settings.in_flight as usize)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_keepalive(Duration::from_mins(1));
        if let Some(seconds) = settings.first_byte_timeout_seconds {
            // Runs anew with each read, and the first read waits for the first byte.
            builder = builder.read_timeout(Duration::from_secs_f64(seconds));
        }
        if settings.proxy == "none" {
            builder = builder.no_proxy();
        } else if !settings.proxy.is_empty() {
            let proxy = Proxy::all(&settings.proxy).map_err(|cause| {
                Error::config(format!("no address of a proxy: key=endpoints.{name}.proxy"))
                    .because(cause.without_url())
            })?;
            builder = builder.proxy(proxy);
        } else if base.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        if let Some(path) = &settings.ca_file {
            builder = builder.tls_certs_only(certificates(name, path)?);
        } else if base.scheme() == "http" {
            // A machine without certificates still reaches what needs none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|cause| {
            Error::config(format!(
                "no client: key=endpoints.{name}, remedy=see the certificates of the system"
            ))
            .because(cause.without_url())
        })?;
        let most_reply_bytes = usize::try_from(settings.most_reply_bytes).unwrap_or(usize::MAX);
        let timeout = Duration::from_secs_f64(settings.timeout_seconds);
        Ok(Self { client, base, name: name.to_owned(), key, most_reply_bytes, timeout })
    }

    /// The address of `path` under the base.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there can be none.
    pub fn address(&self, path: &str) -> Result<Url> {
        let whole = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        Url::parse(&whole).map_err(|cause| {
            Error::config(format!("no address: key=endpoints.{}.url", self.name)).because(cause)
        })
    }

    /// The key, for APIs that take it in the body.
    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Posts `body` and reads a reply of the type.
    ///
    /// # Errors
    /// A [`Refusal`] by status, or by what went wrong on the way.
    pub async fn post<T: DeserializeOwned>(&self, url: &Url, body: &impl Serialize) -> Result<T, Refusal> {
        // Most requests fit.
        let mut text = Vec::with_capacity(4096);
        serde_json::to_writer(&mut text, body)
            .map_err(|cause| Refusal::Fatal(Error::bug("request not written as JSON").because(cause)))?;
        self.send(self.client.post(url.clone()).body(text)).await
    }

    /// Posts the fields of a form and reads a reply of the type.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn post_form<T: DeserializeOwned>(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> Result<T, Refusal> {
        // An address encodes its query as a form is encoded.
        let mut encoded = url.clone();
        encoded.query_pairs_mut().clear().extend_pairs(fields);
        let body = encoded.query().unwrap_or_default().to_owned();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        self.send(self.client.post(url.clone()).header(CONTENT_TYPE, form).body(body)).await
    }

    /// Gets a reply of the type.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub(super) async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Refusal> {
        self.send(self.client.get(url.clone())).await
    }

    /// Posts a file and fields as a form in parts (RFC 7578), and reads a reply of the type.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub(super) async fn post_file<T: DeserializeOwned>(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        name: &str,
        file: Vec<u8>,
    ) -> Result<T, Refusal> {
        // Drawn: no line of the file can be one.
        let boundary = format!("isogloss-{:016x}{:016x}", drawn(), drawn());
        let mut body = Vec::with_capacity(file.len() + 512);
        for (field, value) in fields {
            let part = format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
            body.extend_from_slice(part.as_bytes());
        }
        let part = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             content-type: application/jsonl\r\n\r\n"
        );
        body.extend_from_slice(part.as_bytes());
        body.extend_from_slice(&file);
        drop(file);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let form = format!("multipart/form-data; boundary={boundary}");
        let timeout = self.timeout + Duration::from_secs(body.len() as u64 / SLOWEST);
        let request = self.client.post(url.clone()).timeout(timeout);
        self.send(request.header(CONTENT_TYPE, form).body(body)).await
    }

    /// Appends what lies at an address to a file: at most so many bytes. Each piece has the time of a request.
    ///
    /// # Errors
    /// As [`post`](Self::post); a file that cannot be written.
    pub(super) async fn download(&self, url: &Url, to: &Path, most: u64) -> Result<(), Refusal> {
        let late = |_| Refusal::Transient(Reason::TimedOut, "no piece of the file came in time".to_owned());
        // As a whole it may take as long as its batch.
        let whole = Duration::from_hours(24);
        let sent = self.client.get(url.clone()).timeout(whole).send();
        let sent = tokio::time::timeout(self.timeout, sent).await.map_err(late)?;
        let mut response = self.sound(sent).await?;
        let unwritten = |cause| Refusal::Fatal(away("file not written", to, cause));
        let mut file = File::options().append(true).open(to).map_err(unwritten)?;
        let mut written = 0;
        loop {
            let chunk = tokio::time::timeout(self.timeout, response.chunk()).await.map_err(late)?;
            let Some(chunk) = chunk.map_err(|error| self.lost(error))? else { break };
            written += chunk.len() as u64;
            if written > most {
                return Err(too_long(most));
            }
            file.write_all(&chunk).map_err(unwritten)?;
        }
        // A last line may come without its end, and another file may follow.
        file.write_all(b"\n").map_err(unwritten)
    }

    /// The endpoint's name in the settings.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The largest reply, in bytes.
    pub(super) fn most_reply_bytes(&self) -> u64 {
        self.most_reply_bytes as u64
    }

    /// A reply whose status is a success; its body is still to be read.
    async fn sound(&self, sent: reqwest::Result<Response>) -> Result<Response, Refusal> {
        let response = sent.map_err(|error| self.lost(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let bytes = self.read(response).await.unwrap_or_default();
        Err(refusal(&self.name, status, &headers, &self.said(&bytes)))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Refusal> {
        let response = self.sound(request.send().await).await?;
        let bytes = self.read(response).await?;
        serde_json::from_slice(&bytes).map_err(|cause| {
            if let Ok(Erring { error }) = serde_json::from_slice(&bytes) {
                return self.told(&error);
            }
            let refusal = Refusal::Transient(
                Reason::Garbled,
                format!("reply not understood: {cause}, said={:?}", spoken(&self.said(&bytes))),
            );
            match serde_json::from_slice(&bytes) {
                Ok(Counted { usage }) => refusal.paid(usage.or(Usage::default)),
                Err(_) => refusal,
            }
        })
    }

    /// Sorts an error that came with status 200.
    pub(super) fn told(&self, error: &Value) -> Refusal {
        told(&self.name, error, &self.said(error.to_string().as_bytes()))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Refusal> {
        let most = self.most_reply_bytes;
        let known = response.content_length().and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        if known > most {
            return Err(too_long(self.most_reply_bytes()));
        }
        let mut bytes = Vec::with_capacity(known);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error))? {
            if bytes.len() + chunk.len() > most {
                return Err(too_long(self.most_reply_bytes()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Sorts what went wrong on the way. Only a connection that was never made says that nobody is there.
    fn lost(&self, error: reqwest::Error) -> Refusal {
        let error = error.without_url();
        let mut told = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            told = format!("{told}: {next}");
            cause = next.source();
        }
        if distrusts(&error) {
            return Refusal::Fatal(Error::config(format!(
                "certificate of the endpoint is not trusted: key=endpoints.{0}.url, because={told}, remedy=if the server is \
                 yours, name its authority in endpoints.{0}.ca_file",
                self.name
            )));
        }
        if error.is_connect() {
            Refusal::Away(told)
        } else if error.is_timeout() {
            Refusal::Transient(Reason::TimedOut, told)
        } else if error.is_decode() || error.is_body() {
            Refusal::Transient(Reason::Garbled, told)
        } else {
            Refusal::Transient(Reason::GaveUp, told)
        }
    }

    /// The start of a body as text, without the key if the server echoes it.
    pub(super) fn said(&self, bytes: &[u8]) -> String {
        let start = bytes.get(..4096).unwrap_or(bytes);
        let text = String::from_utf8_lossy(start);
        self.key.as_ref().map_or_else(|| text.clone().into_owned(), |key| key.redact(&text))
    }
}

pub(super) fn too_long(most: u64) -> Refusal {
    Refusal::Rejected(Reason::ReplyTooLong, format!("reply too long: most_reply_bytes={most}"))
}

/// What a reply of another shape that is billed looks like.
#[derive(Deserialize)]
struct Counted {
    usage: Count,
}

/// What a reply that is only an error looks like.
#[derive(Deserialize)]
struct Erring {
    error: Value,
}

/// The certificates of a file.
fn certificates(name: &str, path: &Path) -> Result<Vec<Certificate>> {
    let wrong = |what: &str| {
        Error::config(format!(
            "{what}: key=endpoints.{name}.ca_file, value={}, remedy=a file of certificates in PEM",
            path.display()
        ))
    };
    let pem = std::fs::read(path).map_err(|cause| wrong("certificates unreadable").because(cause))?;
    let found = Certificate::from_pem_bundle(&pem)
        .map_err(|cause| wrong("no certificates").because(cause.without_url()))?;
    if found.is_empty() { Err(wrong("no certificates")) } else { Ok(found) }
}

/// Whether a connection failed because the server's certificate is not trusted. An error of input and output hides what
/// it carries from its chain of causes.
fn distrusts(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(carried) => distrusts(carried),
        None => error.source().is_some_and(distrusts),
    }
}
