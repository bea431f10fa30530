#include "cmd/daemon/pulls.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/clock.h"
#include "base/units.h"
#include "cmd/daemon/prompt_files.h"
#include "registry/bundled_source.h"
#include "registry/hub_client.h"
#include "registry/model_name.h"
#include "runner/checkpoint/model_facts.h"

namespace glm::daemon {
namespace {

constexpr std::string_view kBundled = "bundled:";
constexpr int kLooksMax = 4;
constexpr std::chrono::seconds kLookTimeMax{90};
constexpr int kLookTriesMax = 3;  // somebody waits, and is told nothing until then
constexpr std::chrono::milliseconds kLookPatience{100};

// Every byte was hashed before it is looked at.
Error of_repository(Error error) {
  if (error.code == Errc::corrupt) error.message += "; the repository itself is broken";
  return error;
}

Status accept(const runner::CheckpointFiles& small_files) {
  GLM_TRY(runner::inspect_small_files(small_files));
  Status tokenizer = check_tokenizer(small_files);
  if (!tokenizer.ok()) return of_repository(std::move(tokenizer).error());
  return Ok{};
}

Result<std::string> describe(const runner::CheckpointFiles& files) {
  Result<runner::ModelFacts> facts = runner::inspect(files);
  if (!facts.ok()) return of_repository(std::move(facts).error());
  return runner::facts_json(*facts);
}

}  // namespace

PullJob::PullJob(store::Store& store, std::unique_ptr<registry::Source> source,
                 registry::PullRequest request, OnMended on_mended)
    : store_(store),
      source_(std::move(source)),
      request_(std::move(request)),
      on_mended_(std::move(on_mended)),
      thread_([this](std::stop_token stop) { run(std::move(stop)); }) {}

PullJob::~PullJob() {
  left_ = true;
  thread_.request_stop();
  thread_.join();
}

void PullJob::run(std::stop_token stop) {
  spdlog::info("pull model={} source={}", request_.name, request_.source);
  Result<store::Manifest> manifest = pull(std::move(stop));
  const bool cancelled = !manifest.ok() && manifest.error().code == Errc::cancelled;
  if (cancelled) {
    // Who is still there to hear it has cancelled nothing.
    manifest = make_error(Errc::unavailable, "the daemon was stopped; pull again to go on");
  }
  if (manifest.ok()) {
    spdlog::info("pulled model={} commit={} bytes={}", manifest->name, manifest->commit,
                 manifest->size_bytes());
  } else if (cancelled && left_) {
    spdlog::info("pull given up, nobody waits for it model={}", request_.name);
  } else {
    spdlog::warn("pull failed model={} reason=\"{}\"", request_.name, manifest.error().message);
  }
  MutexLock lock(mutex_);
  outcome_ = manifest.ok() ? Status(Ok{}) : Status(std::move(manifest).error());
  changed_.notify_all();
}

// The files are a stranger's: whatever they make a library throw ends this pull only.
Result<store::Manifest> PullJob::pull(std::stop_token stop) try {
  const auto mended = [this](const store::Digest& digest) {
    spdlog::warn("a damaged file was fetched again model={} digest={}", request_.name,
                 digest.hex());
    on_mended_(digest);
  };
  return registry::pull(
      store_, *source_, request_, {accept, describe, mended},
      [this](const registry::PullProgress& progress) { report(progress); }, std::move(stop));
} catch (const std::exception& failure) {
  return make_error(Errc::internal, "{}", failure.what());
}

void PullJob::report(const registry::PullProgress& progress) {
  MutexLock lock(mutex_);
  const auto same = [&](const Line& line) {
    return line.progress.status == progress.status && line.progress.digest == progress.digest;
  };
  auto it = std::find_if(lines_.begin(), lines_.end(), same);
  if (it == lines_.end()) it = lines_.insert(lines_.end(), Line{});
  it->progress = progress;
  it->version = ++version_;
  changed_.notify_all();
}

std::vector<registry::PullProgress> PullJob::wait(std::uint64_t& seen,
                                                  std::chrono::milliseconds time_max) {
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  MutexLock lock(mutex_);
  while (version_ == seen && !outcome_) {
    if (!lock.wait_until(changed_, deadline)) break;
  }
  std::vector<const Line*> changed;
  for (const Line& line : lines_) {
    if (line.version > seen) changed.push_back(&line);
  }
  std::sort(changed.begin(), changed.end(),
            [](const Line* a, const Line* b) { return a->version < b->version; });
  std::vector<registry::PullProgress> out;
  for (const Line* line : changed) out.push_back(line->progress);
  seen = version_;
  return out;
}

std::optional<Status> PullJob::outcome() const {
  MutexLock lock(mutex_);
  return outcome_;
}

Pulls::Pulls(store::Store& store, const modelfiles::Catalog& catalog, std::filesystem::path bundles,
             OnMended on_mended)
    : store_(store),
      catalog_(catalog),
      bundles_(std::move(bundles)),
      on_mended_(std::move(on_mended)) {}

Result<registry::PullRequest> Pulls::plan(const std::string& name) const {
  const registry::ModelRef ref = GLM_TRY(registry::ModelRef::parse(name));
  registry::PullRequest request;
  request.name = ref.store_name();
  if (ref.is_repository()) {
    request.source = ref.repository;
    request.revision = ref.revision;
    return request;
  }
  Result<modelfiles::CatalogEntry> known = catalog_.find(ref.model, ref.tag, store_.names());
  if (!known.ok() && known.error().code == Errc::not_found) {
    // A second name of a model, from `glm cp`, has its source.
    if (Result<store::Manifest> copy = store_.find(request.name); copy.ok()) {
      request.modelfile = std::move(copy->modelfile);
      request.source = std::move(copy->source);
      request.revision = std::move(copy->revision);
      return request;
    }
  }
  const modelfiles::CatalogEntry entry = GLM_TRY(std::move(known));
  request.name = entry.model + ":" + entry.tag;  // as the catalog spells it
  request.modelfile = entry.text;
  request.source = entry.modelfile.from;
  request.revision = "main";
  if (request.source.starts_with(kBundled)) return request;
  const registry::ModelRef from = GLM_TRY(registry::ModelRef::parse(request.source));
  request.source = from.repository;
  request.revision = from.revision;
  return request;
}

Result<std::unique_ptr<registry::Source>> Pulls::source_for(
    const registry::PullRequest& request, const registry::RetryPolicy& retry) const {
  if (request.source.starts_with(kBundled)) {
    return std::unique_ptr<registry::Source>(std::make_unique<registry::BundledSource>(bundles_));
  }
  return std::unique_ptr<registry::Source>(GLM_TRY(registry::HubSource::from_environment(retry)));
}

Result<std::shared_ptr<PullJob>> Pulls::join(const std::string& name) {
  registry::PullRequest request = GLM_TRY(plan(name));
  MutexLock lock(mutex_);
  if (stopping_) return make_error(Errc::unavailable, "the daemon is stopping");
  std::erase_if(jobs_, [](const auto& job) { return job.second.expired(); });
  std::weak_ptr<PullJob>& known = jobs_[request.name];
  if (std::shared_ptr<PullJob> job = known.lock(); job && !job->outcome()) return job;
  auto source = GLM_TRY(source_for(request, {}));
  auto job = std::make_shared<PullJob>(store_, std::move(source), std::move(request), on_mended_);
  known = job;
  return job;
}

Result<RemoteModel> Pulls::look(const std::string& name, const std::function<bool()>& gone) {
  registry::PullRequest request = GLM_TRY(plan(name));
  const auto source = GLM_TRY(source_for(request, {.attempts_max = kLookTriesMax}));
  if (++looks_ > kLooksMax) {
    --looks_;
    return make_error(Errc::exhausted, "{} models are being looked at already; try again soon",
                      kLooksMax);
  }
  std::stop_source stop;
  const std::stop_callback stopping(stop_.get_token(), [&stop] { stop.request_stop(); });
  std::atomic<bool> late = false;
  std::jthread watch([&](std::stop_token done) {
    const auto deadline = std::chrono::steady_clock::now() + kLookTimeMax;
    while (!done.stop_requested()) {
      late = std::chrono::steady_clock::now() > deadline;
      if (late || gone()) {
        stop.request_stop();
        return;
      }
      std::this_thread::sleep_for(kLookPatience);
    }
  });
  Result<RemoteModel> seen = look_at(*source, std::move(request), stop.get_token());
  --looks_;
  if (!seen.ok() && late) {
    return make_error(Errc::unavailable, "{}: the hub did not answer everything within {}", name,
                      format_duration(kLookTimeMax));
  }
  return seen;
}

void Pulls::stop() {
  stop_.request_stop();
  MutexLock lock(mutex_);
  stopping_ = true;
  for (const auto& [name, known] : jobs_) {
    if (const std::shared_ptr<PullJob> job = known.lock()) job->cancel();
  }
}

}  // namespace glm::daemon
