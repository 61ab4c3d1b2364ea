//! nginx as a good administrator sets it up.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use triton_testkit::{Process, Program, free_port};

use crate::harness::Bench;

const START_DEADLINE: Duration = Duration::from_secs(10);

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    /// Serves the files below `root` with sendfile.
    pub(crate) fn sendfile(bench: &Bench, root: &Path) -> anyhow::Result<Self> {
        Self::start(bench, "", &format!("location / {{ root {}; }}", root.display()))
    }

    /// Passes requests on to `upstream` (`host:port`) over kept connections.
    #[expect(dead_code, reason = "for the cases of the web service")]
    pub(crate) fn proxy(bench: &Bench, upstream: &str) -> anyhow::Result<Self> {
        let http = format!("upstream node {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}");
        Self::start(bench, &http, &format!("location / {{ {PROXY} }}"))
    }

    /// The same with a cache on the disk, as large as it needs.
    #[expect(dead_code, reason = "for the cases of the web service")]
    pub(crate) fn proxy_cache(bench: &Bench, upstream: &str) -> anyhow::Result<Self> {
        let cache = bench.scratch().join(format!("nginx-cache-{}", free_port()));
        let http = format!(
            "upstream node {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}\n\
             proxy_cache_path {} levels=1:2 keys_zone=hot:32m max_size=8g inactive=1h use_temp_path=off;",
            cache.display()
        );
        let location = format!(
            "location / {{ {PROXY} proxy_cache hot; proxy_cache_valid 200 206 1h; \
             proxy_ignore_headers Cache-Control Expires; proxy_cache_lock on; }}"
        );
        Self::start(bench, &http, &location)
    }

    fn start(bench: &Bench, http: &str, location: &str) -> anyhow::Result<Self> {
        let port = free_port();
        let dir: PathBuf = bench.scratch().join(format!("nginx-{port}"));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("nginx.conf"), config(&dir, port, http, location))?;
        let program = Program::at("nginx", dir.join("log")).arg("-p").arg(&dir).arg("-c").arg(dir.join("nginx.conf"));
        let mut process = program.start();
        let url = format!("http://127.0.0.1:{port}/ready");
        bench.runtime.block_on(process.wait_ready(&url, START_DEADLINE));
        Ok(Self { process, port })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `http://host:port`.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers would outlive a killed master.
        self.process.terminate(START_DEADLINE);
    }
}

const PROXY: &str = "proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
    proxy_buffers 16 128k; proxy_buffer_size 16k; proxy_busy_buffers_size 512k; proxy_max_temp_file_size 0;";

fn config(dir: &Path, port: u16, http: &str, location: &str) -> String {
    // The files belong to whoever runs the bench: for root the workers would be somebody else.
    let user = if fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes auto;
worker_rlimit_nofile 65536;
pid {dir}/pid;
error_log {dir}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  open_file_cache max=20000 inactive=10m;
  open_file_cache_valid 10m;
  open_file_cache_min_uses 1;
  default_type application/octet-stream;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  {http}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /ready {{ return 200; }}
    {location}
  }}
}}
",
        dir = dir.display()
    )
}
