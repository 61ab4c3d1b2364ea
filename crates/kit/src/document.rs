//! The OpenAPI document of a service: what surrounds its routes.

use axum::Router;
use triton_api::{Problem, problem::PROBLEM_JSON, secret::SIGNATURE_HEADER};
use utoipa::{
    PartialSchema as _,
    openapi::{
        Components, ComponentsBuilder, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
        ResponseBuilder, ServerBuilder,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};
use utoipa_swagger_ui::SwaggerUi;

const SECURITY: &str = "clusterSignature";

/// A document without routes: `OpenApiRouter::with_openapi(document::base(...))`.
///
/// `tags` are the names that routes use, each with its description; `service` for health and metrics is added.
pub fn base(title: &str, description: &str, server: &str, tags: &[(&str, &str)]) -> OpenApi {
    let license =
        LicenseBuilder::new().name("MIT OR Apache-2.0").url(Some("https://spdx.org/licenses/MIT.html")).build();
    let info = InfoBuilder::new()
        .title(title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description))
        .license(Some(license))
        .build();
    let tags = tags.iter().chain(&[("service", "Health and metrics.")]);
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url(server).description(Some("The default address.")).build()]))
        .tags(Some(tags.map(|(name, text)| TagBuilder::new().name(*name).description(Some(*text)).build())))
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new::<_, _, &str>(SECURITY, [])]))
        .components(Some(components()))
        .build()
}

fn components() -> Components {
    let signature = ApiKeyValue::with_description(
        SIGNATURE_HEADER,
        "`seconds.nonce.mac`: a keyed BLAKE3 MAC over method, path with query, time and nonce. Asked for where the service \
         was started with a cluster secret.",
    );
    ComponentsBuilder::new()
        .schema("Problem", Problem::schema())
        .security_scheme(SECURITY, SecurityScheme::ApiKey(ApiKey::Header(signature)))
        .response("ClientError", problem_response("The request is refused; `type` and `detail` say why."))
        .response("ServerError", problem_response("The service cannot do it now."))
        .build()
}

fn problem_response(description: &str) -> utoipa::openapi::Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build()
}

/// The document of all routes, ready to be served or written to a file: every operation has the answers `4XX` and `5XX`, and
/// schemas that nothing refers to are left out (utoipa writes the `T` of a `Page<T>` in place and lists it all the same).
pub fn finish(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let responses = &mut operation.responses.responses;
            for (range, name) in [("4XX", "ClientError"), ("5XX", "ServerError")] {
                let reference = RefOr::Ref(Ref::from_response_name(name));
                responses.entry(range.to_owned()).or_insert(reference);
            }
        }
    }
    drop_unused_schemas(&mut document);
    document
}

fn drop_unused_schemas(document: &mut OpenApi) {
    loop {
        // Every reference is text in the document: a document that cannot be written refers to everything.
        let Ok(text) = serde_json::to_string(document) else { return };
        let Some(components) = document.components.as_mut() else { return };
        let before = components.schemas.len();
        components.schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
        // What only a dropped schema referred to goes in the next round.
        if components.schemas.len() == before {
            return;
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.options,
        &mut item.head,
        &mut item.patch,
        &mut item.trace,
    ]
    .into_iter()
    .flatten()
}

/// Swagger UI at `/docs` and the document at `/openapi.json`; nothing is loaded from another host.
pub fn docs(document: OpenApi) -> Router {
    SwaggerUi::new("/docs").url("/openapi.json", document).into()
}
