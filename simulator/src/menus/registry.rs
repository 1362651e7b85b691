//! Which menus there are, and on which devices: by version and packages, as on real ones.

use super::{
    Scene, capsman, configs, fields::Config, interface, ip, lease, log, neighbor, route, system,
    table::Table, update, w60g, wifi, wireless,
};
use crate::world::model::Stack;

/// One menu.
pub(crate) struct Menu {
    pub(crate) path: &'static str,
    present: fn(&Scene<'_>) -> bool,
    pub(crate) print: fn(&Scene<'_>, &mut Table<'_>),
    /// Whether it has a `monitor`.
    pub(crate) monitored: bool,
    /// How it can be changed.
    pub(crate) config: Option<&'static Config>,
}

const fn menu(
    path: &'static str,
    present: fn(&Scene<'_>) -> bool,
    print: fn(&Scene<'_>, &mut Table<'_>),
) -> Menu {
    Menu {
        path,
        present,
        print,
        monitored: false,
        config: None,
    }
}

const fn monitored(menu: Menu) -> Menu {
    Menu {
        monitored: true,
        ..menu
    }
}

const fn configured(menu: Menu, config: &'static Config) -> Menu {
    Menu {
        config: Some(config),
        ..menu
    }
}

/// What is there by nature: nothing.
fn nothing(_: &Scene<'_>, _: &mut Table<'_>) {}

fn always(_: &Scene<'_>) -> bool {
    true
}

fn wireless_package(scene: &Scene<'_>) -> bool {
    scene.device().stack == Stack::Wireless
}

fn wifiwave2_package(scene: &Scene<'_>) -> bool {
    scene.device().stack == Stack::Wifiwave2
}

/// From 7.13 on the menu is part of the system, with radios that need a driver or without.
fn wifi_menu(scene: &Scene<'_>) -> bool {
    scene.version_at_least(7, 13)
}

static MENUS: [Menu; 37] = [
    configured(
        menu("/system/identity", always, system::identity),
        &configs::IDENTITY,
    ),
    menu("/system/resource", always, system::resource),
    menu("/system/routerboard", always, system::routerboard),
    menu("/system/health", always, system::health),
    menu("/system/package", always, system::packages),
    menu("/system/package/update", always, update::update),
    menu("/system/clock", always, system::clock),
    menu("/user", always, system::users),
    configured(menu("/ip/service", always, ip::services), &configs::SERVICE),
    menu("/log", always, log::lines),
    configured(
        menu("/interface", always, interface::interfaces),
        &configs::INTERFACE,
    ),
    configured(menu("/interface/vlan", always, nothing), &configs::VLAN),
    configured(
        menu("/ip/address", always, ip::addresses),
        &configs::ADDRESS,
    ),
    configured(menu("/ip/arp", always, ip::arp), &configs::ARP),
    menu("/ip/neighbor", always, neighbor::neighbors),
    configured(menu("/ip/route", always, route::routes), &configs::ROUTE),
    configured(
        menu("/ip/dhcp-server/lease", always, lease::leases),
        &configs::LEASE,
    ),
    configured(
        menu("/ip/firewall/filter", always, nothing),
        &configs::FILTER,
    ),
    configured(
        menu("/ip/firewall/address-list", always, nothing),
        &configs::ADDRESS_LIST,
    ),
    configured(
        menu("/ip/dns/static", always, nothing),
        &configs::DNS_STATIC,
    ),
    configured(menu("/queue/simple", always, nothing), &configs::QUEUE),
    configured(menu("/system/script", always, nothing), &configs::SCRIPT),
    configured(menu("/system/note", always, system::note), &configs::NOTE),
    monitored(menu(
        "/interface/wireless",
        wireless_package,
        wireless::interfaces,
    )),
    menu(
        "/interface/wireless/registration-table",
        wireless_package,
        wireless::registrations,
    ),
    monitored(menu("/interface/wifi", wifi_menu, |scene, rows| {
        wifi::interfaces(scene, rows, Stack::Wifi);
    })),
    menu("/interface/wifi/radio", wifi_menu, wifi::radios),
    menu(
        "/interface/wifi/registration-table",
        wifi_menu,
        |scene, rows| {
            wifi::registrations(scene, rows, Stack::Wifi);
        },
    ),
    monitored(menu(
        "/interface/wifiwave2",
        wifiwave2_package,
        |scene, rows| {
            wifi::interfaces(scene, rows, Stack::Wifiwave2);
        },
    )),
    menu(
        "/interface/wifiwave2/registration-table",
        wifiwave2_package,
        |scene, rows| wifi::registrations(scene, rows, Stack::Wifiwave2),
    ),
    menu("/caps-man/interface", wireless_package, capsman::interfaces),
    menu("/caps-man/radio", wireless_package, capsman::radios),
    menu(
        "/caps-man/remote-cap",
        wireless_package,
        capsman::remote_caps,
    ),
    menu(
        "/caps-man/registration-table",
        wireless_package,
        capsman::registrations,
    ),
    monitored(menu("/interface/w60g", wireless_package, w60g::interfaces)),
    menu("/interface/w60g/station", wireless_package, w60g::stations),
    menu("/ip/dhcp-server", always, lease::servers),
];

/// The menu of a path, where the device has it.
pub(crate) fn find(scene: &Scene<'_>, path: &str) -> Option<&'static Menu> {
    let known = MENUS.iter().find(|menu| menu.path == path);
    known.filter(|menu| (menu.present)(scene))
}

/// The first word of a path that leads nowhere; of a command of a menu that is there, its last.
pub(crate) fn first_unknown<'p>(scene: &Scene<'_>, path: &'p str) -> &'p str {
    let mut end = 0;
    for word in path.split('/').skip(1) {
        end += 1 + word.len();
        let prefix = &path[..end];
        let known = MENUS.iter().filter(|m| (m.present)(scene)).any(|m| {
            m.path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if !known {
            return word;
        }
    }
    path.rsplit('/').next().unwrap_or(path)
}
