#include "tests/bench/device_ceilings.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels/cuda/launch.h"

namespace glm::bench {
namespace {

void ok(cudaError_t code) {
  if (code == cudaSuccess) return;
  (void)std::fprintf(stderr, "benchmark: %s\n", cudaGetErrorString(code));
  std::abort();
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  ok(cudaDeviceGetAttribute(&value, which, 0));
  return value;
}

}  // namespace

struct Timer::State {
  void* flush = nullptr;
  std::size_t flush_bytes = 0;
  cudaEvent_t first = nullptr;
  cudaEvent_t last = nullptr;
  std::vector<double> seconds;
};

Timer::Timer() : state_(std::make_unique<State>()) {
  state_->flush_bytes = 2 * static_cast<std::size_t>(attribute(cudaDevAttrL2CacheSize));
  ok(cudaMalloc(&state_->flush, state_->flush_bytes));
  ok(cudaEventCreate(&state_->first));
  ok(cudaEventCreate(&state_->last));
}

Timer::~Timer() {
  (void)cudaFree(state_->flush);
  (void)cudaEventDestroy(state_->first);
  (void)cudaEventDestroy(state_->last);
}

void Timer::clear() {
  ok(cudaDeviceSynchronize());
  state_->seconds.clear();
}

void Timer::start() {
  ok(cudaMemsetAsync(state_->flush, static_cast<int>(state_->seconds.size() & 0xFFU),
                     state_->flush_bytes, nullptr));
  ok(cudaEventRecord(state_->first, nullptr));
}

void Timer::stop() {
  ok(cudaEventRecord(state_->last, nullptr));
  ok(cudaEventSynchronize(state_->last));
  float milliseconds = 0;
  ok(cudaEventElapsedTime(&milliseconds, state_->first, state_->last));
  state_->seconds.push_back(static_cast<double>(milliseconds) * 1e-3);
}

double Timer::middle() const {
  std::vector<double> sorted = state_->seconds;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

struct Graph::State {
  cudaStream_t stream = nullptr;
  cudaGraphExec_t exec = nullptr;
};

Graph::Graph(const std::function<void(CUstream_st*)>& enqueue) : state_(std::make_unique<State>()) {
  cudaGraph_t graph = nullptr;
  ok(cudaStreamCreateWithFlags(&state_->stream, cudaStreamNonBlocking));
  ok(cudaStreamBeginCapture(state_->stream, cudaStreamCaptureModeThreadLocal));
  enqueue(state_->stream);
  ok(cudaStreamEndCapture(state_->stream, &graph));
  ok(cudaGraphInstantiate(&state_->exec, graph, 0));
  ok(cudaGraphDestroy(graph));
}

Graph::~Graph() {
  (void)cudaGraphExecDestroy(state_->exec);
  (void)cudaStreamDestroy(state_->stream);
}

double Graph::seconds(int repetitions) const {
  cudaEvent_t first = nullptr;
  cudaEvent_t last = nullptr;
  ok(cudaEventCreate(&first));
  ok(cudaEventCreate(&last));
  std::vector<double> all;
  for (int i = 0; i < 3 + repetitions; ++i) {
    ok(cudaEventRecord(first, state_->stream));
    ok(cudaGraphLaunch(state_->exec, state_->stream));
    ok(cudaEventRecord(last, state_->stream));
    ok(cudaEventSynchronize(last));
    float milliseconds = 0;
    ok(cudaEventElapsedTime(&milliseconds, first, last));
    if (i >= 3) all.push_back(static_cast<double>(milliseconds) * 1e-3);  // the first warm up
  }
  (void)cudaEventDestroy(first);
  (void)cudaEventDestroy(last);
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

double measured_read_bytes_per_s() {
  constexpr std::size_t kBytes = std::size_t{4} << 30U;
  constexpr std::size_t kBlockBytes = std::size_t{16} << 20U;
  std::vector<std::uint64_t> block(kBlockBytes / sizeof(std::uint64_t));
  std::mt19937_64 random(1);  // NOLINT: the same numbers every time
  for (std::uint64_t& word : block) word = random();
  void* data = nullptr;
  void* sum = nullptr;
  ok(cudaMalloc(&data, kBytes));
  ok(cudaMalloc(&sum, sizeof(std::uint32_t)));
  for (std::size_t at = 0; at < kBytes; at += kBlockBytes) {
    ok(cudaMemcpy(static_cast<char*>(data) + at, block.data(), kBlockBytes,
                  cudaMemcpyHostToDevice));
  }
  Timer timer;
  const double seconds = timer.median(20, [&] {
    ok(kernels::cuda::launch_read_memory(
        {.out = static_cast<std::uint32_t*>(sum), .data = data, .size_bytes = kBytes}, nullptr));
  });
  (void)cudaFree(data);
  (void)cudaFree(sum);
  return static_cast<double>(kBytes) / seconds;
}

double measured_mma_flops_per_s() {
  void* count = nullptr;
  ok(cudaMalloc(&count, sizeof(std::uint64_t)));
  Timer timer;
  const double seconds = timer.median(10, [&] {
    ok(kernels::cuda::launch_multiply({.out = static_cast<std::uint64_t*>(count)}, nullptr));
  });
  std::uint64_t operations = 0;
  ok(cudaMemcpy(&operations, count, sizeof(operations), cudaMemcpyDeviceToHost));
  (void)cudaFree(count);
  return static_cast<double>(operations) / seconds;
}

}  // namespace glm::bench
