// What this device can do at best, measured in this process: the denominators of benchmarks.
#pragma once

#include <functional>
#include <memory>

struct CUstream_st;  // cudaStream_t points to it

namespace glm::bench {

// Bytes per second of reading memory far larger than L2 (kernels/ops/ceilings.h).
double measured_read_bytes_per_s();

// Operations per second of mma.sync on bf16 operands in registers.
double measured_mma_flops_per_s();

// Seconds of the median of `repetitions` launches, L2 flushed before each.
class Timer {
 public:
  Timer();
  ~Timer();

  template <typename Launch>
  double median(int repetitions, const Launch& launch) {
    launch();  // loads the module
    clear();
    for (int i = 0; i < repetitions; ++i) {
      start();
      launch();
      stop();
    }
    return middle();
  }

 private:
  void clear();
  void start();
  void stop();
  double middle() const;

  struct State;
  std::unique_ptr<State> state_;
};

// Work recorded once and run as one launch.
class Graph {
 public:
  explicit Graph(const std::function<void(CUstream_st*)>& enqueue);
  ~Graph();

  double seconds(int repetitions) const;  // the median

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glm::bench
