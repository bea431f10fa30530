#include "cmd/daemon/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <thread>

#include "base/descriptor_limit.h"
#include "base/fd.h"
#include "base/paths.h"
#include "base/units.h"
#include "cmd/api/http_server.h"
#include "cmd/daemon/metrics.h"
#include "cmd/daemon/model_loader.h"
#include "cmd/daemon/models.h"
#include "cmd/daemon/pid_file.h"
#include "cmd/daemon/pulls.h"
#include "cmd/host_address.h"
#include "cmd/services.h"
#include "cmd/version.h"
#include "modelfiles/catalog.h"
#include "registry/http.h"
#include "registry/hub_options.h"
#include "store/store.h"

namespace glm::daemon {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::hours kGarbageAge{24 * 7};

// SIGINT and SIGTERM as something to wait for, together with a way to wake the waiter by hand.
class StopSignal {
 public:
  // Call before any thread starts: the mask is inherited.
  static Result<std::unique_ptr<StopSignal>> create() {
    const sigset_t set = signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is a full disk, not the end
    auto stop = std::make_unique<StopSignal>();
    stop->signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC));
    int fds[2];
    if (!stop->signals_ || ::pipe2(fds, O_CLOEXEC) != 0) {
      return make_error(Errc::exhausted,
                        "make the daemon's signal descriptors: out of descriptors");
    }
    stop->wake_read_ = Fd(fds[0]);
    stop->wake_write_ = Fd(fds[1]);
    return stop;
  }

  void wake() {
    const char byte = 1;
    (void)!::write(wake_write_.get(), &byte, 1);
  }

  // From then on a second Ctrl-C ends the process at once.
  void wait() {
    pollfd fds[2] = {{signals_.get(), POLLIN, 0}, {wake_read_.get(), POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    if ((fds[0].revents & POLLIN) != 0) {
      signalfd_siginfo info{};
      (void)!::read(signals_.get(), &info, sizeof info);
    }
    const sigset_t set = signals();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  }

 private:
  static sigset_t signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
  }

  Fd signals_;
  Fd wake_read_;
  Fd wake_write_;
};

Result<ModelLimits> model_limits() {
  ModelLimits limits;
  if (const std::string text = env_or_empty("GLM_KEEP_ALIVE"); !text.empty()) {
    limits.keep_alive = GLM_TRY(parse_duration(text).with("GLM_KEEP_ALIVE"));
  }
  if (const std::string text = env_or_empty("GLM_MAX_LOADED_MODELS"); !text.empty()) {
    limits.loaded_max = GLM_TRY(parse_count(text).with("GLM_MAX_LOADED_MODELS"));
  }
  return limits;
}

// What crashed pulls have left and nobody has come back for.
void collect_garbage(const store::Store& store) {
  const Result<store::GcReport> report = store.gc(kGarbageAge);
  if (!report.ok()) {
    spdlog::warn("garbage collection failed reason=\"{}\"", report.error().message);
  } else if (report->freed_bytes > 0) {
    spdlog::info("removed garbage blobs={} partials={} bytes={}", report->blobs, report->partials,
                 report->freed_bytes);
  }
}

// Empty where the environment says it wrongly, which the first pull tells.
std::string hub_host() {
  const Result<registry::HubOptions> hub = registry::hub_options_from_environment();
  return hub.ok() ? registry::host_of(hub.value().endpoint) : std::string();
}

}  // namespace

Status serve(const ServeOptions& options) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("glm"));
  const HostAddress address = GLM_TRY(listen_address(options.host));
  raise_descriptor_limit();
  const fs::path home = GLM_TRY(make_glm_home());
  const fs::path share = GLM_TRY(resource_dir());
  auto stop = GLM_TRY(StopSignal::create());
  const PidFile pid_file = GLM_TRY(PidFile::acquire(home / "daemon.pid", address.str()));
  const auto store = GLM_TRY(store::Store::open(home));
  if (const std::string warning = store->warning(); !warning.empty()) spdlog::warn("{}", warning);
  const modelfiles::Catalog catalog = GLM_TRY(modelfiles::Catalog::open(share / "catalog"));
  Metrics metrics;
  StoredModelLoader loader(*store, metrics);
  Models models(loader, metrics, system_clock(), GLM_TRY(model_limits()));
  Pulls pulls(*store, catalog, share / "models",
              [&models](const store::Digest& file) { models.mended(file); });
  Services services{
      *store,        catalog,   models, metrics, pulls, system_clock(), [&] { stop->wake(); },
      home.string(), hub_host()};
  api::HttpServer server(services);
  GLM_TRY(server.bind(address));
  collect_garbage(*store);
  spdlog::info("glm {} listens on {} store={}", kVersion, address.str(), home.string());
  std::thread http([&] {
    server.run();
    stop->wake();  // nobody could reach a daemon that lost its socket
  });
  stop->wait();
  spdlog::info("stopping");
  server.stop();  // nobody new; those who are here get their answers
  pulls.stop();
  models.drain();
  models.stop();
  http.join();
  return Ok{};
}

}  // namespace glm::daemon
