#include "tests/fakes/fake_daemon.h"

#include <httplib.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace glm::fakes {

struct FakeDaemon::Impl {
  httplib::Server server;
  int port = 0;
  std::thread thread;

  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, Answering> routes;
  std::vector<FakeRequest> seen;
  bool abandoned = false;
  bool stopping = false;

  void handle(const httplib::Request& request, httplib::Response& response);
  void stream(FakeAnswer answer, httplib::Response& response);
};

void FakeDaemon::Impl::handle(const httplib::Request& request, httplib::Response& response) {
  FakeRequest seen_request{request.method, request.path, request.body};
  Answering answering;
  {
    const std::lock_guard lock(mutex);
    seen.push_back(seen_request);
    const auto route = routes.find(request.method + " " + request.path);
    if (route != routes.end()) answering = route->second;
  }
  if (!answering) {
    response.status = 404;
    response.set_content("404 page not found", "text/plain");
    return;
  }
  FakeAnswer answer = answering(seen_request);
  response.status = answer.status;
  stream(std::move(answer), response);
}

void FakeDaemon::Impl::stream(FakeAnswer answer, httplib::Response& response) {
  response.set_chunked_content_provider(
      "application/x-ndjson", [this, answer](std::size_t, httplib::DataSink& sink) {
        for (const std::string& line : answer.lines) {
          const std::string bytes = line + "\n";
          if (!sink.write(bytes.data(), bytes.size())) return false;
        }
        if (answer.end == FakeAnswer::End::cut) return false;
        while (answer.end == FakeAnswer::End::endless) {
          const std::string bytes = answer.lines.back() + "\n";
          const bool gone = !sink.is_writable() || !sink.write(bytes.data(), bytes.size());
          std::unique_lock lock(mutex);
          if (gone) {
            abandoned = true;
            changed.notify_all();
            return false;
          }
          if (changed.wait_for(lock, std::chrono::milliseconds(2), [&] { return stopping; })) {
            return false;
          }
        }
        sink.done();
        return true;
      });
}

FakeDaemon::FakeDaemon() : impl_(std::make_unique<Impl>()) {
  on("GET /api/version", {.lines = {R"({"version":"0.1.0","name":"glm"})"}});
  const auto handler = [this](const httplib::Request& request, httplib::Response& response) {
    impl_->handle(request, response);
  };
  impl_->server.Get(".*", handler).Post(".*", handler).Delete(".*", handler);
  impl_->server.set_keep_alive_timeout(1);
  impl_->port = impl_->server.bind_to_any_port("127.0.0.1");
  impl_->thread = std::thread([this] { impl_->server.listen_after_bind(); });
  while (!impl_->server.is_running()) std::this_thread::yield();
}

FakeDaemon::~FakeDaemon() {
  stop();
}

void FakeDaemon::stop() {
  if (!impl_->thread.joinable()) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->changed.notify_all();
  }
  impl_->server.stop();
  impl_->thread.join();
}

void FakeDaemon::on(const std::string& route, FakeAnswer answer) {
  on(route, [answer = std::move(answer)](const FakeRequest&) { return answer; });
}

void FakeDaemon::on(const std::string& route, Answering answering) {
  const std::lock_guard lock(impl_->mutex);
  impl_->routes[route] = std::move(answering);
}

std::string FakeDaemon::host() const {
  return "127.0.0.1:" + std::to_string(impl_->port);
}

std::vector<FakeRequest> FakeDaemon::requests(const std::string& route) const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<FakeRequest> found;
  for (const FakeRequest& request : impl_->seen) {
    if (request.method + " " + request.path == route) found.push_back(request);
  }
  return found;
}

bool FakeDaemon::wait_until_abandoned(std::chrono::seconds timeout) {
  std::unique_lock lock(impl_->mutex);
  return impl_->changed.wait_for(lock, timeout, [&] { return impl_->abandoned; });
}

}  // namespace glm::fakes
