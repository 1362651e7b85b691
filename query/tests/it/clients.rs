//! Clients with what routers say of them.

use crate::fixture::Fixture;

#[tokio::test]
async fn a_client_has_the_address_and_the_name_that_its_own_tenants_routers_tell() {
    let f = Fixture::new().await;
    let sql = "SELECT ap, signal_dbm, address, host_name, address_source FROM clients ORDER BY mac";
    let told = |word: &str, number: u8| {
        let known = format!(
            r#"{{"ap":"ap-{word}-1","signal_dbm":-61,"address":"10.0.0.{number}","host_name":"host-{word}","address_source":"dhcp"}}"#
        );
        let unknown = format!(
            r#"{{"ap":"ap-{word}-1","signal_dbm":-62,"address":null,"host_name":null,"address_source":null}}"#
        );
        format!("[{known},{unknown}]")
    };
    let of = async |tenant| f.json(tenant, sql).await.unwrap().trim_end().to_owned();
    assert_eq!(of(f.a).await, told("AAA", 10));
    assert_eq!(of(f.b).await, told("BBB", 11));
}
