//! Cloud and service logs in JSON: recognizes each by fields that only it has, and sets its Sigma
//! log source.

use weir_schema::Value;

use crate::draft::Draft;
use crate::field_index::{FieldIndex, KnownField};

/// Sets the log source of a cloud record. Returns the field that holds the time.
///
/// It tests only for fields that the vendor documents as always present. A record that is not
/// recognized is still an event, and its source can declare a log source.
pub(crate) fn recognize(draft: &mut Draft<'_>, index: &FieldIndex) -> Option<KnownField> {
    let has = |fields: &[KnownField]| fields.iter().all(|field| index.has(*field));
    let starts = |field, start: &str| {
        let text = index.text(draft, field);
        text.is_some_and(|text| text.starts_with(start))
    };
    let (category, product, service, time) = if has(&[
        KnownField::AwsVersion,
        KnownField::AwsSource,
        KnownField::AwsName,
    ]) {
        (None, "aws", Some("cloudtrail"), KnownField::AwsEventTime)
    } else if starts(KnownField::ApiVersion, "audit.k8s.io/") {
        let application = Some("application");
        (
            application,
            "kubernetes",
            Some("audit"),
            KnownField::StageTime,
        )
    } else if index.text(draft, KnownField::GcpType)
        == Some("type.googleapis.com/google.cloud.audit.AuditLog")
    {
        (None, "gcp", Some("gcp.audit"), KnownField::Timestamp)
    } else if has(&[
        KnownField::OktaType,
        KnownField::OktaUuid,
        KnownField::Published,
        KnownField::OktaActor,
    ]) {
        (None, "okta", Some("okta"), KnownField::Published)
    } else if has(&[
        KnownField::DocumentId,
        KnownField::Action,
        KnownField::AtTimestamp,
    ]) {
        (None, "github", Some("audit"), KnownField::AtTimestamp)
    } else if has(&[KnownField::OperationName, KnownField::Category]) {
        let resource = index
            .text(draft, KnownField::ResourceId)
            .unwrap_or_default();
        let service = azure_service(resource, index.text(draft, KnownField::Category)?)?;
        (None, "azure", Some(service), KnownField::Time)
    } else if has(&[
        KnownField::RecordType,
        KnownField::Workload,
        KnownField::Operation,
    ]) {
        let is_exchange = index.text(draft, KnownField::Workload) == Some("Exchange");
        let service = if is_exchange { "exchange" } else { "audit" };
        (None, "m365", Some(service), KnownField::CreationTime)
    } else {
        recognize_other_form(draft, index)?
    };
    draft.logsource.category = category;
    draft.logsource.product = Some(product);
    draft.logsource.service = service;
    Some(time)
}

/// The log source of a record, and the field of its time.
type CloudRecord = (
    Option<&'static str>,
    &'static str,
    Option<&'static str>,
    KnownField,
);

/// Recognizes records as the vendors' programming interfaces return them, which differ from the logs
/// that they stream.
fn recognize_other_form(draft: &Draft<'_>, index: &FieldIndex) -> Option<CloudRecord> {
    let has = |fields: &[KnownField]| fields.iter().all(|field| index.has(*field));
    let azure = |service, time| Some((None, "azure", Some(service), time));
    if has(&[KnownField::EventTimestamp, KnownField::OperationValue]) {
        azure("activitylogs", KnownField::EventTimestamp)
    } else if has(&[KnownField::RiskEventType, KnownField::DetectedDateTime]) {
        azure("riskdetection", KnownField::DetectedDateTime)
    } else if has(&[
        KnownField::CreatedDateTime,
        KnownField::PrincipalName,
        KnownField::AppDisplayName,
    ]) {
        azure("signinlogs", KnownField::CreatedDateTime)
    } else if has(&[
        KnownField::ActivityDateTime,
        KnownField::ActivityDisplayName,
    ]) {
        azure("auditlogs", KnownField::ActivityDateTime)
    } else if has(&[
        KnownField::AuditId,
        KnownField::Verb,
        KnownField::RequestUri,
    ]) {
        let times = [KnownField::StageTime, KnownField::RequestReceived];
        let time = times.into_iter().find(|field| index.has(*field))?;
        Some((Some("application"), "kubernetes", Some("audit"), time))
    } else if has(&[
        KnownField::RecordType,
        KnownField::Operation,
        KnownField::CreationTime,
        KnownField::UserId,
    ]) {
        // Records of Exchange have the types 1 to 3.
        let is_exchange = matches!(
            index.value(draft, KnownField::RecordType),
            Some(Value::Int(1..=3))
        );
        let service = if is_exchange { "exchange" } else { "audit" };
        Some((None, "m365", Some(service), KnownField::CreationTime))
    } else if has(&[KnownField::EveType, KnownField::Timestamp])
        // An alert that a shipper cut down may lack the flow.
        && (index.has(KnownField::FlowId) || draft.get("alert.signature_id").is_some())
    {
        Some((None, "suricata", None, KnownField::Timestamp))
    } else {
        None
    }
}

/// Returns Sigma's service name for a category of Azure's diagnostic logs. If other services have a
/// category of the same name, the resource decides.
fn azure_service(resource: &str, category: &str) -> Option<&'static str> {
    let resource = resource.to_ascii_lowercase();
    let is_entra = resource.ends_with("/providers/microsoft.aadiam");
    let is_subscription = resource.starts_with("/subscriptions/");
    Some(match category {
        "AuditLogs" if is_entra => "auditlogs",
        "SignInLogs"
        | "NonInteractiveUserSignInLogs"
        | "ServicePrincipalSignInLogs"
        | "ManagedIdentitySignInLogs" => "signinlogs",
        "UserRiskEvents" if is_entra => "riskdetection",
        "Administrative" if is_subscription => "activitylogs",
        _ => return None,
    })
}
