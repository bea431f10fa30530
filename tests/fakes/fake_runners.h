// Runners without processes, on a device with a given memory, and a loader that starts them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "cmd/daemon/model_loader.h"

namespace glm::fakes {

// What all runners of a test share, and what happened to them, in order: "start a", "ready a",
// "end a".
struct FakeDevice {
  void note(const std::string& what) {
    MutexLock lock(mutex);
    events.push_back(what);
  }
  std::vector<std::string> seen() {
    MutexLock lock(mutex);
    return events;
  }

  Mutex mutex;
  std::uint64_t free_bytes GLM_GUARDED_BY(mutex) = ~std::uint64_t{0};
  std::vector<std::string> events GLM_GUARDED_BY(mutex);
};

class FakeRunner final : public daemon::Runner {
 public:
  FakeRunner(FakeDevice& device, std::string model, std::uint64_t bytes)
      : device_(device), model_(std::move(model)) {
    ready_.device = "cpu";
    ready_.memory_bytes = bytes;
    ready_.context_max = 1000;
    device_.note("start " + model_);
  }
  ~FakeRunner() override { end(); }

  void set_context_max(std::int64_t tokens) { ready_.context_max = tokens; }

  Status wait_until_ready() override {
    while (hold_ && alive_) std::this_thread::yield();
    if (!alive_) return make_error(Errc::unavailable, "the load was stopped");
    if (dies_loading) {
      alive_ = false;
      return make_error(Errc::device, "signal 11");
    }
    MutexLock lock(device_.mutex);
    if (device_.free_bytes < ready_.memory_bytes) {
      return make_error(Errc::exhausted, "out of memory");
    }
    device_.free_bytes -= ready_.memory_bytes;
    has_memory_ = true;
    device_.events.push_back("ready " + model_);
    return Ok{};
  }
  const runner::ReadyFrame& ready() const override { return ready_; }
  Result<std::shared_ptr<daemon::TokenStream>> submit(
      std::vector<runner::GenerateRequest> requests) override {
    stream = std::make_shared<daemon::TokenStream>(100, requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) requests[i].id = stream->id(i);
    submitted = std::move(requests);
    return stream;
  }
  void cancel(std::uint64_t id) override { cancelled.push_back(id); }
  bool alive() const override { return alive_; }
  std::string death() const override {
    MutexLock lock(device_.mutex);
    return death_;
  }
  bool answered() const override { return has_answered; }
  runner::EngineStats stats() const override { return {}; }
  std::uint64_t held_bytes() const override {
    return std::min<std::uint64_t>(held, ready_.memory_bytes);
  }
  int pid() const override { return 1; }
  void stop() override { alive_ = false; }
  void end() override {
    stop();
    MutexLock lock(device_.mutex);
    if (std::exchange(ended_, true)) return;
    if (has_memory_) device_.free_bytes += ready_.memory_bytes;
    device_.events.push_back("end " + model_);
  }

  // As if its process had been killed.
  void die(const std::string& how) {
    MutexLock lock(device_.mutex);
    death_ = how;
    alive_ = false;
  }
  void hold() { hold_ = true; }
  void let_go() { hold_ = false; }

  bool dies_loading = false;
  std::atomic<bool> has_answered = false;
  std::atomic<std::uint64_t> held = ~std::uint64_t{0};  // at most all it was promised
  std::shared_ptr<daemon::TokenStream> stream;  // of the last submit()
  std::vector<runner::GenerateRequest> submitted;
  std::vector<std::uint64_t> cancelled;

 private:
  FakeDevice& device_;
  const std::string model_;
  runner::ReadyFrame ready_;
  std::string death_;
  std::atomic<bool> alive_ = true;
  std::atomic<bool> hold_ = false;
  bool has_memory_ = false;
  bool ended_ = false;
};

class FakeLoader final : public daemon::ModelLoader {
 public:
  Result<std::shared_ptr<const daemon::TextModel>> text(const store::Manifest&) override {
    return std::shared_ptr<const daemon::TextModel>();
  }
  Status check(const store::Manifest&, const daemon::RunOptions& options) override {
    if (options.device != "cuda") return Ok{};
    return make_error(Errc::unsupported, "there is no such device");
  }
  Result<std::shared_ptr<daemon::Runner>> start(const store::Manifest& manifest,
                                                const daemon::RunOptions&,
                                                std::uint64_t promised_bytes) override {
    promised = promised_bytes;
    if (throw_loading) throw std::system_error(EAGAIN, std::generic_category(), "no thread");
    std::uint64_t bytes = 0;
    for (const store::ManifestFile& file : manifest.files) bytes += file.size_bytes;
    auto runner = std::make_shared<FakeRunner>(device, manifest.name, bytes);
    runner->dies_loading = die_loading;
    if (hold_loads) runner->hold();
    MutexLock lock(mutex_);
    runners_[manifest.name] = runner;
    return std::shared_ptr<daemon::Runner>(runner);
  }
  std::uint64_t host_memory_free() const override { return host_free; }

  // The last one started for a model; null when there was none.
  std::shared_ptr<FakeRunner> runner(const std::string& model) {
    MutexLock lock(mutex_);
    const auto it = runners_.find(model);
    return it == runners_.end() ? nullptr : it->second;
  }

  FakeDevice device;
  std::atomic<std::uint64_t> host_free = ~std::uint64_t{0};
  std::atomic<std::uint64_t> promised = 0;  // to others, at the last start
  std::atomic<bool> hold_loads = false;
  std::atomic<bool> die_loading = false;
  std::atomic<bool> throw_loading = false;

 private:
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<FakeRunner>> runners_ GLM_GUARDED_BY(mutex_);
};

}  // namespace glm::fakes
