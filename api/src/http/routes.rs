//! The one table of routes: the router and the document are made from it.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::access::App;
use super::{docs, openapi, problem};
use crate::listing::Listing;
use crate::resources as r;

/// All routes of the API that have a tenant's rows behind them.
fn table() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(r::health::alive))
        .routes(routes!(r::health::ready))
        .routes(routes!(r::me::me))
        .routes(routes!(r::tenants::list, r::tenants::create))
        .routes(routes!(
            r::tenants::get,
            r::tenants::patch,
            r::tenants::delete
        ))
        .routes(routes!(r::sites::list, r::sites::create))
        .routes(routes!(r::sites::get, r::sites::patch, r::sites::delete))
        .routes(routes!(r::availability::of_site))
        .routes(routes!(r::availability::states_of_site))
        .routes(routes!(r::sectors::list, r::sectors::create))
        .routes(routes!(
            r::sectors::get,
            r::sectors::patch,
            r::sectors::delete
        ))
        .routes(routes!(r::availability::of_sector))
        .routes(routes!(r::availability::states_of_sector))
        .routes(routes!(r::devices::list, r::devices::create))
        .routes(routes!(
            r::devices::get,
            r::devices::patch,
            r::devices::delete
        ))
        .routes(routes!(r::events::of_devices))
        .routes(routes!(r::interfaces::of_device))
        .routes(routes!(r::device_log::of_device))
        .routes(routes!(r::series::of_device))
        .routes(routes!(r::series::of_interface))
        .routes(routes!(r::groups::list, r::groups::create))
        .routes(routes!(r::groups::get, r::groups::patch, r::groups::delete))
        .routes(routes!(r::tags::list, r::tags::create))
        .routes(routes!(r::tags::get, r::tags::patch, r::tags::delete))
        .routes(routes!(r::thresholds::list, r::thresholds::create))
        .routes(routes!(
            r::thresholds::get,
            r::thresholds::patch,
            r::thresholds::delete
        ))
        .routes(routes!(r::rules::list, r::rules::create))
        .routes(routes!(r::rules::get, r::rules::patch, r::rules::delete))
        .routes(routes!(r::rules::preview::of_input))
        .routes(routes!(r::rules::preview::of_rule))
        .routes(routes!(r::windows::list, r::windows::create))
        .routes(routes!(
            r::windows::get,
            r::windows::patch,
            r::windows::delete
        ))
        .routes(routes!(r::alerts::list))
        .routes(routes!(r::alerts::get))
        .routes(routes!(r::alerts::explain::explain))
        .routes(routes!(r::alerts::acts::ack))
        .routes(routes!(r::alerts::acts::silence))
        .routes(routes!(r::alerts::acts::resolve))
        .routes(routes!(r::alerts::acts::assign))
        .routes(routes!(r::alerts::acts::comment))
        .routes(routes!(r::alerts::notes::list))
        .routes(routes!(r::alert_events::of_alerts))
        .routes(routes!(r::incidents::list))
        .routes(routes!(r::incidents::get))
        .routes(routes!(r::incidents::ack))
        .routes(routes!(r::incidents::comment))
        .routes(routes!(r::alert_events::of_incidents))
        .routes(routes!(r::trends::list))
        .routes(routes!(r::trends::accept))
        .routes(routes!(r::alert_events::of_trends))
        .routes(routes!(
            r::notification_channels::list,
            r::notification_channels::create
        ))
        .routes(routes!(
            r::notification_channels::get,
            r::notification_channels::patch,
            r::notification_channels::delete
        ))
        .routes(routes!(r::notification_channels::test))
        .routes(routes!(
            r::notification_routes::list,
            r::notification_routes::create
        ))
        .routes(routes!(
            r::notification_routes::get,
            r::notification_routes::patch,
            r::notification_routes::delete
        ))
        .routes(routes!(r::notification_deliveries::list))
        .routes(routes!(r::notification_deliveries::get))
        .routes(routes!(r::notification_deliveries::retry))
        .routes(routes!(r::inventory::export, r::inventory::import).layer(r::inventory::limit()))
        .routes(routes!(r::links::list))
        .routes(routes!(r::links::get))
        .routes(routes!(r::series::of_link))
        .routes(routes!(r::events::of_links))
        .routes(routes!(r::clients::list))
        .routes(routes!(r::fleet::summary))
        .routes(routes!(r::issues::list))
        .routes(routes!(r::firmware::list))
        .routes(routes!(r::sql::run))
        .routes(routes!(r::stream::listen))
}

/// All lists.
pub(crate) static LISTINGS: &[&Listing] = &[
    &r::tenants::LISTING,
    &r::sites::LISTING,
    &r::sectors::LISTING,
    &r::devices::LISTING,
    &r::groups::LISTING,
    &r::tags::LISTING,
    &r::thresholds::LISTING,
    &r::notification_channels::LISTING,
    &r::notification_routes::LISTING,
    &r::notification_deliveries::LISTING,
    &r::links::LISTING,
    &r::clients::LISTING,
    &r::issues::LISTING,
    &r::events::LINKS,
    &r::events::DEVICES,
    &r::firmware::LISTING,
    &r::rules::LISTING,
    &r::windows::LISTING,
    &r::alerts::LISTING,
    &r::alerts::notes::LISTING,
    &r::alert_events::ALERTS,
    &r::incidents::LISTING,
    &r::alert_events::INCIDENTS,
    &r::trends::LISTING,
    &r::alert_events::TRENDS,
];

/// The router, and the document of what it serves.
pub(crate) fn build() -> (Router<App>, OpenApi) {
    let (router, mut document) = table().split_for_parts();
    openapi::complete(&mut document, LISTINGS);
    let json = document.to_pretty_json().unwrap_or_default();
    let router = router
        .merge(docs::routes(json))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::other_methods);
    (router, document)
}
