#include "runner/process.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "base/units.h"
#include "runner/device_choice.h"
#include "runner/engine.h"
#include "runner/frames.h"
#include "runner/heartbeat.h"
#include "runner/load_check.h"
#include "runner/models/registry.h"
#include "runner/outbox.h"
#include "runner/plan/run_plan.h"
#include "runner/probe.h"
#include "runner/smoke_test.h"

namespace glm::runner {
namespace {

// What the socket's thread hands to the engine's: requests and cancellations, in order.
class Inbox {
 public:
  void push(Frame frame) {
    MutexLock lock(mutex_);
    frames_.push_back(std::move(frame));
    changed_.notify_one();
  }

  // Blocks while there is nothing and the engine has nothing to do either.
  std::vector<Frame> take(bool engine_idle) {
    MutexLock lock(mutex_);
    while (frames_.empty() && engine_idle) lock.wait(changed_);
    return std::exchange(frames_, {});
  }

 private:
  Mutex mutex_;
  std::condition_variable changed_;
  std::vector<Frame> frames_ GLM_GUARDED_BY(mutex_);
};

// The way to the daemon, and the sign of life on it.
struct Voice {
  explicit Voice(int fd) : outbox(fd), heartbeat(outbox) {}

  Outbox outbox;
  Heartbeat heartbeat;
};

// The pool goes before its model.
struct Loaded {
  std::unique_ptr<Model> model;
  std::unique_ptr<KvPool> pool;
  EngineLimits limits;
};

// What was planned before the weights came, and on what.
struct Forecast {
  RunPlan plan;
  HardwareFacts hardware;
};

Result<std::unique_ptr<Model>> load(const LoadFrame& request, const DeviceChoice& device,
                                    Voice& voice, Forecast& forecast) {
  CheckpointFiles files;
  for (const auto& [path, file] : request.files) files.emplace(path, file);
  LoadOptions options;
  options.device = device.name;
  options.threads = request.threads;
  options.kv_format = GLM_TRY(parse_kv_cache_type(request.kv_cache_type));
  if (request.latent_norm_eps > 0) options.latent_norm_eps = request.latent_norm_eps;
  options.overrides = overrides_of(request);
  options.promised_bytes = request.promised_bytes;
  options.planned = [&forecast](const RunPlan& plan, const HardwareFacts& hardware) {
    forecast = {plan, hardware};
  };
  options.progress = [&voice](const LoadProgress& progress) {
    voice.heartbeat.progress();
    (void)voice.outbox.send(LoadProgressFrame{progress.completed_bytes, progress.total_bytes});
  };
  return load_model(files, options);
}

Result<LoadFrame> receive_load(int fd) {
  Frame first = GLM_TRY(receive_frame(fd));
  auto* request = std::get_if<LoadFrame>(&first);
  if (request == nullptr || request->version != kProtocolVersion) {
    return make_error(Errc::invalid_argument, "the first frame is no load frame of version {}",
                      kProtocolVersion);
  }
  return std::move(*request);
}

// Many times what the slowest step takes: the CPU works minutes on a chunk of a large model.
constexpr std::chrono::seconds kStepMaxOnGpu{30};
constexpr std::chrono::seconds kStepMaxOnCpu{600};

// The plan again, with the weights there and memory measured. What was foreseen and what is goes to
// the log, side by side.
Result<RunPlan> plan_loaded(const Model& model, const Forecast& forecast,
                            const LoadFrame& request) {
  HardwareFacts hardware = forecast.hardware;
  hardware.memory_free_bytes = model.memory_free_bytes();
  if (hardware.memory_free_bytes == 0) hardware.memory_total_bytes = 0;  // it does not tell
  hardware = without_promised(std::move(hardware), request.promised_bytes);
  ModelNeeds needs;
  needs.context_own = model.facts().context_max;
  needs.weight_bytes = model.weight_bytes();
  needs.workspace_bytes = forecast.plan.memory.workspace_bytes;
  needs.page_bytes = model.page_bytes();
  needs.kv_format = forecast.plan.kv_format;
  needs.loaded = true;
  RunPlan made = GLM_TRY(plan(needs, hardware, overrides_of(request)));
  const auto both = [](std::uint64_t is, std::uint64_t foreseen) {
    return fmt::format("{} (foreseen {})", format_bytes(is), format_bytes(foreseen));
  };
  fmt::print(stderr, "glm runner: plan {}: weights {}, pages {}, context {} tokens, {} requests\n",
             made.device, both(made.memory.weight_bytes, forecast.plan.memory.weight_bytes),
             both(made.memory.page_bytes, forecast.plan.memory.page_bytes), made.context_max,
             made.running_max);
  return made;
}

// Loads as asked and answers ready.
Result<Loaded> start(const LoadFrame& request, Voice& voice) {
  const Clock::Steady begun = system_clock().now();
  const DeviceChoice device = GLM_TRY(choose_device(request.device));
  Loaded loaded;
  Forecast forecast;
  loaded.model = GLM_TRY(load(request, device, voice, forecast));
  Model& model = *loaded.model;
  const RunPlan plan = GLM_TRY(plan_loaded(model, forecast, request));
  loaded.pool = GLM_TRY(model.make_pool(plan.pages));
  EngineLimits& limits = loaded.limits;
  const bool gpu = forecast.hardware.is_gpu();
  limits = engine_limits(model, gpu);
  limits.running_max = static_cast<std::size_t>(plan.running_max);
  limits.context_max = plan.context_max;
  GLM_TRY(smoke_test(model, *loaded.pool));
  ReadyFrame ready;
  ready.device = device.name;
  ready.note = device.note;
  ready.context_max = limits.context_max;
  ready.memory_bytes =
      model.weight_bytes() + static_cast<std::uint64_t>(plan.pages) * model.page_bytes();
  ready.load_ns = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(system_clock().now() - begun).count());
  ready.step_ns_max = static_cast<std::uint64_t>(
      std::chrono::nanoseconds(gpu ? kStepMaxOnGpu : kStepMaxOnCpu).count());
  GLM_TRY(voice.outbox.send(ready));
  return loaded;
}

// Ends the process when the daemon does: nobody is left to answer to.
void read_frames(int fd, Inbox& inbox) {
  while (true) {
    Result<Frame> frame = receive_frame(fd);
    if (!frame.ok()) ::_exit(frame.error().code == Errc::unavailable ? 0 : 1);
    inbox.push(*std::move(frame));
  }
}

int serve(int fd) {
  const Result<LoadFrame> request = receive_load(fd);
  if (!request.ok()) {
    (void)send_frame(fd, LoadFailedFrame{request.error()});
    return 1;
  }
  if (request->only_check) {
    const Status possible = check_load(*request);
    (void)send_frame(fd, possible.ok() ? Frame(ReadyFrame{}) : LoadFailedFrame{possible.error()});
    (void)receive_frame(fd);  // the daemon ends it
    return 0;
  }
  Inbox inbox;
  std::thread reader([&] { read_frames(fd, inbox); });  // from now on the daemon's end is ours
  Voice voice(fd);
  voice.heartbeat.set_busy(true);
  Result<Loaded> loaded = start(*request, voice);
  if (!loaded.ok()) {
    (void)voice.outbox.send(LoadFailedFrame{loaded.error()});
    std::fflush(nullptr);
    ::_exit(1);
  }
  Engine engine(*loaded->model, *loaded->pool, loaded->limits, system_clock());
  voice.heartbeat.progress(engine.stats());
  while (true) {
    voice.heartbeat.set_busy(!engine.idle());
    std::vector<Frame> frames = inbox.take(engine.idle());
    voice.heartbeat.set_busy(true);
    for (Frame& frame : frames) {
      if (auto* generate = std::get_if<GenerateFrame>(&frame)) {
        engine.submit(std::move(generate->request));
      } else if (const auto* cancel = std::get_if<CancelFrame>(&frame)) {
        engine.cancel(cancel->id);
      }
    }
    StepFrame step{engine.step()};
    voice.heartbeat.progress(engine.stats());
    const bool some_end =
        std::any_of(step.events.begin(), step.events.end(),
                    [](const RequestEvent& event) { return event.finish != FinishReason::none; });
    if (some_end) voice.heartbeat.beat();
    const bool told = step.events.empty() || voice.outbox.send(step).ok();
    if (engine.device_failed()) {
      fmt::print(stderr, "glm runner: the device failed: {}\n", engine.device_failure());
      ::_exit(1);
    }
    if (!told) ::_exit(0);
  }
}

}  // namespace

int process_main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--probe") return probe_main();
  int fd = -1;
  if (argc == 3 && std::string_view(argv[1]) == "--fd") {
    const std::string_view number = argv[2];
    std::from_chars(number.data(), number.data() + number.size(), fd);
  }
  if (fd < 0) {
    std::fputs("glm runner: wants --fd N, which the daemon gives it, or --probe\n", stderr);
    return 2;
  }
  std::signal(SIGINT, SIG_IGN);  // Ctrl-C in a terminal is the daemon's business
  (void)::prctl(PR_SET_NAME, "glm-runner");
  const Fd socket(fd);
  return serve(socket.get());
}

}  // namespace glm::runner
