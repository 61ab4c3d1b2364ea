use triton_kit::{
    document,
    health::{self, Readiness},
};
use utoipa_axum::router::OpenApiRouter;

use crate::Service;

#[tokio::test]
async fn document_and_swagger_are_served_from_here() {
    let base = document::base("Test", "A test.", "http://127.0.0.1:1", &[("thing", "Things.")]);
    let readiness = Readiness::new(async || Ok(()));
    let (router, document) = OpenApiRouter::with_openapi(base).merge(health::routes::<()>(readiness)).split_for_parts();
    let service = Service::start(router.merge(document::docs(document::finish(document)))).await;

    let document: serde_json::Value = service.get("/openapi.json").await.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["paths"]["/healthz"]["get"]["responses"]["4XX"]["$ref"], "#/components/responses/ClientError");
    assert!(document["paths"]["/readyz"]["get"]["responses"]["503"].is_object());
    assert_eq!(document["components"]["schemas"]["Problem"]["properties"]["detail"]["type"], "string");

    let page = service.get("/docs/").await.text().await.unwrap();
    assert!(page.contains("swagger-ui-bundle.js") && !page.contains("https://"), "{page}");
    let script = service.get("/docs/swagger-ui-bundle.js").await;
    assert!(script.status() == 200 && script.bytes().await.unwrap().len() > 500_000);
}
