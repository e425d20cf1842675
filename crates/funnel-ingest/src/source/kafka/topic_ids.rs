//! The identity of a topic.
//!
//! A topic that was deleted and made again under the same name is another topic, which offsets
//! alone cannot tell. Brokers since 2.8 give every topic a UUID; librdkafka can ask for it, but the
//! Rust binding has no safe function for that. This is the only module with unsafe code.

use std::ffi::CString;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

/// Why the identity is not known.
#[derive(Debug, thiserror::Error)]
#[error("could not read the id of topic `{topic}`: {reason}")]
pub(super) struct TopicIdError {
    topic: String,
    reason: String,
}

/// The topic's UUID, or the cluster's id when the broker *answers* that it has none: a timeout is an
/// error, because the identity must not change from one start to the next.
pub(super) fn topic_identity<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<String, TopicIdError> {
    let failed = |reason: String| TopicIdError {
        topic: topic.to_owned(),
        reason,
    };
    if let Some(uuid) = describe(consumer, topic, timeout).map_err(failed)? {
        return Ok(uuid);
    }
    match consumer.client().fetch_cluster_id(timeout) {
        Some(id) if !id.is_empty() => Ok(id.replace('/', "_")),
        _ => Err(failed(
            "the broker gives neither a topic id nor a cluster id".to_owned(),
        )),
    }
}

/// Owns what librdkafka allocated for one request.
struct Request {
    options: *mut sys::rd_kafka_AdminOptions_t,
    topics: *mut sys::rd_kafka_TopicCollection_t,
    queue: *mut sys::rd_kafka_queue_t,
    event: *mut sys::rd_kafka_event_t,
}

impl Drop for Request {
    #[expect(
        unsafe_code,
        reason = "releases what librdkafka allocated; see the module"
    )]
    fn drop(&mut self) {
        // SAFETY: every pointer is null or came from the matching constructor, and is released
        // once. The event goes before the queue that it came from.
        unsafe {
            if !self.event.is_null() {
                sys::rd_kafka_event_destroy(self.event);
            }
            if !self.queue.is_null() {
                sys::rd_kafka_queue_destroy(self.queue);
            }
            if !self.topics.is_null() {
                sys::rd_kafka_TopicCollection_destroy(self.topics);
            }
            if !self.options.is_null() {
                sys::rd_kafka_AdminOptions_destroy(self.options);
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "DescribeTopics has no safe binding; see the module"
)]
fn describe<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<String>, String> {
    let name = CString::new(topic).map_err(|_| "its name holds a NUL".to_owned())?;
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // Any broker knows every topic. The default is the controller, which not every cluster names.
    let metadata = consumer
        .fetch_metadata(Some(topic), timeout)
        .map_err(|error| error.to_string())?;
    let broker = metadata.brokers().first().map(|broker| broker.id());
    let client = consumer.client().native_ptr();
    let mut request = Request {
        options: ptr::null_mut(),
        topics: ptr::null_mut(),
        queue: ptr::null_mut(),
        event: ptr::null_mut(),
    };
    // SAFETY: `client` lives as long as `consumer`, which is borrowed; the name outlives the call
    // that copies it; all objects are owned by `request` until the end of the function.
    unsafe {
        request.options = sys::rd_kafka_AdminOptions_new(
            client,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut names = [name.as_ptr()];
        request.topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        request.queue = sys::rd_kafka_queue_new(client);
        if request.options.is_null() || request.topics.is_null() || request.queue.is_null() {
            return Err("librdkafka is out of memory".to_owned());
        }
        // A refused timeout leaves the default, and the poll below has its own.
        let _ = sys::rd_kafka_AdminOptions_set_request_timeout(
            request.options,
            millis,
            ptr::null_mut(),
            0,
        );
        if let Some(broker) = broker {
            // Refused: the controller is asked instead.
            let _ =
                sys::rd_kafka_AdminOptions_set_broker(request.options, broker, ptr::null_mut(), 0);
        }
        sys::rd_kafka_DescribeTopics(client, request.topics, request.options, request.queue);
        request.event = sys::rd_kafka_queue_poll(request.queue, millis);
        if request.event.is_null() {
            return Err("no answer".to_owned());
        }
        read_answer(request.event)
    }
}

/// # Safety
/// `event` is a live event of librdkafka.
#[expect(
    unsafe_code,
    reason = "reads the answer in librdkafka's memory; see the module"
)]
unsafe fn read_answer(event: *mut sys::rd_kafka_event_t) -> Result<Option<String>, String> {
    use sys::rd_kafka_resp_err_t as Code;
    // SAFETY: the event is live; what it owns is only read, and copied before this returns.
    unsafe {
        match sys::rd_kafka_event_error(event) {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            Code::RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE
            | Code::RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION => return Ok(None),
            code => return Err(rdkafka::types::RDKafkaErrorCode::from(code).to_string()),
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("the answer is of another kind".to_owned());
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() || count == 0 {
            return Err("the answer names no topic".to_owned());
        }
        let description = *topics;
        let error = sys::rd_kafka_TopicDescription_error(description);
        if !error.is_null() {
            let code = sys::rd_kafka_error_code(error);
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(rdkafka::types::RDKafkaErrorCode::from(code).to_string());
            }
        }
        let uuid = sys::rd_kafka_TopicDescription_topic_id(description);
        if uuid.is_null() {
            return Ok(None);
        }
        let high = sys::rd_kafka_Uuid_most_significant_bits(uuid);
        let low = sys::rd_kafka_Uuid_least_significant_bits(uuid);
        if high == 0 && low == 0 {
            return Ok(None);
        }
        let text = sys::rd_kafka_Uuid_base64str(uuid);
        if text.is_null() {
            return Err("librdkafka is out of memory".to_owned());
        }
        let text = std::ffi::CStr::from_ptr(text).to_string_lossy();
        // URL-safe, as Kafka's own tools print it; the plain alphabet has a slash.
        Ok(Some(
            text.trim_end_matches('=')
                .replace('+', "-")
                .replace('/', "_"),
        ))
    }
}
