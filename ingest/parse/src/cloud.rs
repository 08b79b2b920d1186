//! Cloud and service logs in JSON that are unmistakable: which of Sigma's log sources each is.

use crate::draft::Draft;
use crate::marks::{Mark, Marks};

/// Names the log source of a cloud record, and the field of its time where it has one of its own.
///
/// Only what its makers have documented as always being there is taken for a sign: a record that is
/// not recognised is still an event, and a source can declare what it sends.
pub(crate) fn recognise(draft: &mut Draft<'_>, marks: &Marks) -> Option<Mark> {
    let has = |all: &[Mark]| all.iter().all(|mark| marks.has(*mark));
    let starts = |mark, start: &str| {
        let text = marks.text(draft, mark);
        text.is_some_and(|text| text.starts_with(start))
    };
    // Category, product, service, and the field of the time.
    let (category, product, service, time) =
        if has(&[Mark::AwsVersion, Mark::AwsSource, Mark::AwsName]) {
            (None, "aws", Some("cloudtrail"), Mark::EventTimeAws)
        } else if starts(Mark::ApiVersion, "audit.k8s.io/") {
            let application = Some("application");
            (application, "kubernetes", Some("audit"), Mark::StageTime)
        } else if marks.text(draft, Mark::GcpType)
            == Some("type.googleapis.com/google.cloud.audit.AuditLog")
        {
            (None, "gcp", Some("gcp.audit"), Mark::Timestamp)
        } else if has(&[
            Mark::OktaType,
            Mark::OktaUuid,
            Mark::Published,
            Mark::OktaActor,
        ]) {
            (None, "okta", Some("okta"), Mark::Published)
        } else if has(&[Mark::DocumentId, Mark::Action, Mark::AtTimestamp]) {
            (None, "github", Some("audit"), Mark::AtTimestamp)
        } else if has(&[Mark::OperationName, Mark::Category]) {
            let resource = marks.text(draft, Mark::ResourceId).unwrap_or_default();
            let service = azure(resource, marks.text(draft, Mark::Category)?)?;
            (None, "azure", Some(service), Mark::Time)
        } else if has(&[Mark::RecordType, Mark::Workload, Mark::Operation]) {
            let is_exchange = marks.text(draft, Mark::Workload) == Some("Exchange");
            let service = if is_exchange { "exchange" } else { "audit" };
            (None, "m365", Some(service), Mark::CreationTime)
        } else {
            return None;
        };
    draft.source.category = category;
    draft.source.product = Some(product);
    draft.source.service = service;
    Some(time)
}

/// Sigma's word for a category of Azure's diagnostic logs. Where other services have a category of
/// the same name the resource tells whose it is.
fn azure(resource: &str, category: &str) -> Option<&'static str> {
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
