#include "tests/bench/device_ceilings.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/device/mma.cuh"

namespace glm::bench {
namespace {

void ok(cudaError_t code) {
  if (code == cudaSuccess) return;
  (void)std::fprintf(stderr, "benchmark: %s\n", cudaGetErrorString(code));
  std::abort();
}

__global__ void fill_kernel(uint4* data, std::size_t count) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
    const auto n = static_cast<unsigned>(i) * 2654435761U;
    data[i] = make_uint4(n, n ^ 0x5EEDU, n * 3U, n + 7U);
  }
}

__global__ void read_kernel(const uint4* data, std::size_t count, unsigned* sink) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  unsigned sum = 0;
#pragma unroll 8
  for (std::size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
    const uint4 v = __ldcs(data + i);
    sum += v.x ^ v.y ^ v.z ^ v.w;
  }
  if (sum == 0x12345678U) *sink = sum;  // so that the loads are needed
}

constexpr int kProducts = 4096;
constexpr int kChains = 8;

__global__ void mma_kernel(float* sink, unsigned salt) {
  const unsigned bits = 0x3F803F80U ^ ((threadIdx.x * 0x01230123U + salt) & 0x00FF00FFU);
  const std::uint32_t a[4] = {bits, bits ^ 0x00110011U, bits ^ 0x80228022U, bits ^ 0x80448044U};
  float d[kChains][4] = {};
  for (int i = 0; i < kProducts; ++i) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) {
      kernels::device::mma_16x8x16(d[c], a, bits ^ static_cast<unsigned>(c), bits ^ 0x80008000U);
    }
  }
  float sum = 0;
  for (int c = 0; c < kChains; ++c) sum += d[c][0] + d[c][1] + d[c][2] + d[c][3];
  if (sum == 1.2345F) *sink = sum;
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
  constexpr std::size_t kBytes = std::size_t{2} << 30U;
  void* data = nullptr;
  ok(cudaMalloc(&data, kBytes + sizeof(unsigned)));
  auto* words = static_cast<uint4*>(data);
  auto* sink = reinterpret_cast<unsigned*>(static_cast<char*>(data) + kBytes);
  const auto blocks = static_cast<unsigned>(8 * attribute(cudaDevAttrMultiProcessorCount));
  fill_kernel<<<blocks, 256>>>(words, kBytes / sizeof(uint4));
  Timer timer;
  const double seconds =
      timer.median(20, [&] { read_kernel<<<blocks, 256>>>(words, kBytes / sizeof(uint4), sink); });
  ok(cudaGetLastError());
  (void)cudaFree(data);
  return static_cast<double>(kBytes) / seconds;
}

double measured_mma_flops_per_s() {
  void* sink = nullptr;
  ok(cudaMalloc(&sink, sizeof(float)));
  const auto blocks = static_cast<unsigned>(2 * attribute(cudaDevAttrMultiProcessorCount));
  constexpr unsigned kThreads = 256;
  Timer timer;
  const double seconds =
      timer.median(10, [&] { mma_kernel<<<blocks, kThreads>>>(static_cast<float*>(sink), 7); });
  ok(cudaGetLastError());
  (void)cudaFree(sink);
  const double products = static_cast<double>(blocks) * (kThreads / 32) * kProducts * kChains;
  return products * 2 * 16 * 8 * 16 / seconds;
}

}  // namespace glm::bench
