//! The document of the API: what the route table says, with what all routes have in common.

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Header, HeaderBuilder, HttpMethod, OpenApi as Document, PathItem, Ref, RefOr,
    Required, ResponseBuilder, Schema, SecurityRequirement,
};

use super::problem::PROBLEM_JSON;
use crate::listing::Listing;

/// The frame of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mast",
        description = "Fleets of MikroTik RouterOS devices: the model that people decide, the views that the dataflow \
            keeps of it, and history.\n\n\
            Each request bears a token (`Authorization: Bearer mast_…`), which is of one tenant; a super-admin's token \
            names the tenant in the header `Mast-Tenant`. What is another tenant's is not found. Refusals are problem \
            details (RFC 9457), each kind with a `type` that never changes.\n\n\
            Lists come in pages: `next` is the `cursor` of the page behind. `filter` is terms parted by commas, such as \
            `state=degraded|down,signal_dbm<-75,name~hill,site_id=null`; a comma, a bar or a backslash in a value stands \
            behind a backslash. `sort` is columns parted by commas, those from the greatest on with a minus: \
            `-signal_dbm,name`; nulls come last.\n\n\
            A thing's `ETag` begins with its version: a PATCH or DELETE sends it as `If-Match`, and is refused if the thing \
            was changed meanwhile. A PATCH is a merge patch (RFC 7396). A POST with an `Idempotency-Key` is done once, \
            however often it comes within a day.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(super::problem::Body))
)]
struct Frame;

/// The document that routes are added to.
pub(crate) fn frame() -> Document {
    let mut document = Frame::openapi();
    document.info.version = "1".to_owned();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `mast token create`."))
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    document
}

/// Adds what all routes have in common.
pub(crate) fn complete(document: &mut Document, listings: &[&Listing]) {
    patches(document);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(id(&method, path));
        }
        if path.starts_with("/health") {
            continue;
        }
        let listing = listings.iter().find(|listing| listing.path == path);
        let has_path_parameters = path.contains('{');
        for (method, operation) in operations(item) {
            operation.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
            let installation = path.starts_with("/api/v1/tenants") || path == "/api/v1/me";
            if !installation {
                header(
                    operation,
                    "Mast-Tenant",
                    false,
                    "The tenant, by id or name: for super-admins.",
                );
            }
            let is_stream = path.ends_with("/stream");
            let mut refusals = vec![400, 401, 403, 429, 500, 503, 504];
            if has_path_parameters || !installation {
                refusals.push(404);
            }
            match method {
                HttpMethod::Get if is_stream => {}
                HttpMethod::Get => {
                    header(
                        operation,
                        "If-None-Match",
                        false,
                        "ETag of what is known already.",
                    );
                    known(operation);
                }
                // A test sends each time that it is asked for.
                HttpMethod::Post if path.ends_with("/test") => refusals.push(502),
                HttpMethod::Post if !path.ends_with("/sql") => {
                    header(
                        operation,
                        "Idempotency-Key",
                        false,
                        "Makes the request one that is done once.",
                    );
                    refusals.extend([409, 413, 415, 422]);
                }
                HttpMethod::Post => refusals.extend([406, 413, 415, 422]),
                HttpMethod::Patch | HttpMethod::Delete => {
                    header(
                        operation,
                        "If-Match",
                        true,
                        "ETag or version of what is changed, or `*`.",
                    );
                    refusals.extend([412, 428]);
                    if matches!(method, HttpMethod::Patch) {
                        refusals.extend([409, 413, 415, 422]);
                    }
                }
                _ => {}
            }
            if !is_stream {
                tagged(operation, &method);
            }
            for status in refusals {
                refusal(operation, status);
            }
            if let Some(listing) = listing {
                describe(operation, listing);
            }
        }
    }
}

/// A patch names what it changes alone: its schema is that of the input, with nothing required.
fn patches(document: &mut Document) {
    let Some(components) = &mut document.components else {
        return;
    };
    for item in document.paths.paths.values_mut() {
        let content = item.patch.as_mut().and_then(|o| o.request_body.as_mut());
        for content in content
            .into_iter()
            .flat_map(|body| body.content.values_mut())
        {
            let Some(RefOr::Ref(whole)) = &content.schema else {
                continue;
            };
            let name = whole.ref_location.rsplit('/').next().unwrap_or_default();
            let patch = name.replace("Input", "Patch");
            if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get(name) {
                let mut object = object.clone();
                object.required.clear();
                object.description =
                    Some("What changes; null takes away. Without a field it stays.".to_owned());
                components
                    .schemas
                    .insert(patch.clone(), RefOr::T(Schema::Object(object)));
                content.schema = Some(RefOr::Ref(Ref::from_schema_name(patch)));
            }
        }
    }
}

/// What programs call an operation: `get_devices_by_id_log`.
fn id(method: &HttpMethod, path: &str) -> String {
    let method = match method {
        HttpMethod::Get => "get",
        HttpMethod::Post => "post",
        HttpMethod::Patch => "patch",
        _ => "delete",
    };
    let words = path.trim_start_matches("/api/v1").split('/').skip(1);
    words.fold(method.to_owned(), |id, word| {
        let parameter = word
            .strip_prefix('{')
            .and_then(|word| word.strip_suffix('}'));
        match parameter {
            Some(parameter) => format!("{id}_by_{parameter}"),
            None => format!("{id}_{}", word.replace('-', "_")),
        }
    })
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let get = item.get.as_mut().map(|o| (HttpMethod::Get, o));
    let post = item.post.as_mut().map(|o| (HttpMethod::Post, o));
    let patch = item.patch.as_mut().map(|o| (HttpMethod::Patch, o));
    let delete = item.delete.as_mut().map(|o| (HttpMethod::Delete, o));
    [get, post, patch, delete].into_iter().flatten()
}

fn header(operation: &mut Operation, name: &str, required: bool, description: &str) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(if required {
            Required::True
        } else {
            Required::False
        })
        .description(Some(description))
        .schema(Some(Object::with_type(SchemaType::new(Type::String))))
        .build();
    operation.parameters.get_or_insert_default().push(parameter);
}

/// What is known already is not sent again.
fn known(operation: &mut Operation) {
    let response = ResponseBuilder::new().description("It is as the ETag says.");
    let response = response.header("ETag", text_header()).build();
    let responses = &mut operation.responses.responses;
    responses.insert("304".to_owned(), response.into());
}

fn text_header() -> Header {
    let text = Object::with_type(SchemaType::new(Type::String));
    HeaderBuilder::new().schema(text).build()
}

/// Headers of good answers with a body: its tag, and where a thing that was made is.
fn tagged(operation: &mut Operation, method: &HttpMethod) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if response.description.is_empty() {
            response.description = words(status.parse().unwrap_or_default()).to_owned();
        }
        // A POST that makes no one thing has no tag.
        let untagged = matches!(method, HttpMethod::Post) && status == "200";
        if matches!(status.as_str(), "200" | "201") && !untagged {
            response.headers.insert("ETag".to_owned(), text_header());
        }
        if status == "201" {
            response
                .headers
                .insert("Location".to_owned(), text_header());
        }
    }
}

fn words(status: u16) -> &'static str {
    let status = axum::http::StatusCode::from_u16(status).ok();
    status
        .and_then(|s| s.canonical_reason())
        .unwrap_or_default()
}

fn refusal(operation: &mut Operation, status: u16) {
    let content = ContentBuilder::new()
        .schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
        .build();
    let mut response = ResponseBuilder::new()
        .description(words(status))
        .content(PROBLEM_JSON, content);
    if matches!(status, 429 | 503) {
        let seconds = Object::with_type(SchemaType::new(Type::Integer));
        response = response.header("Retry-After", HeaderBuilder::new().schema(seconds).build());
    }
    let responses = &mut operation.responses.responses;
    responses
        .entry(status.to_string())
        .or_insert_with(|| response.build().into());
}

/// Says what can be named in `filter` and `sort`.
fn describe(operation: &mut Operation, listing: &Listing) {
    let parameter = |operation: &'_ mut Operation, name: &str, more: String| {
        let parameters = operation.parameters.get_or_insert_default();
        if let Some(found) = parameters.iter_mut().find(|p| is(p, name)) {
            let before = found.description.take().unwrap_or_default();
            found.description = Some(format!("{before} {more}"));
        }
    };
    let filters = listing.columns.iter();
    let filters = filters.map(|c| {
        let null = if c.nullable { ", or null" } else { "" };
        format!("`{}` ({}{null}; {})", c.name, c.kind.what(), c.kind.ops())
    });
    let filters = filters.collect::<Vec<_>>().join(", ");
    parameter(operation, "filter", format!("Columns: {filters}."));
    let sorts = listing.columns.iter().filter(|c| c.sorts);
    let sorts = sorts.map(|c| format!("`{}`", c.name)).collect::<Vec<_>>();
    let sorts = sorts.join(", ");
    let default = listing.sort;
    parameter(
        operation,
        "sort",
        format!("Columns: {sorts}. Without it: `{default}`."),
    );
}

fn is(parameter: &Parameter, name: &str) -> bool {
    parameter.name == name
}
