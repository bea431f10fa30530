// The device that is measured: what it is, and what it can do at best.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "kernels/ops.h"

namespace glm::bench {

struct Device {
  std::string name;         // "cpu", "cuda:0"
  std::string description;  // "NVIDIA H200 (cuda:0, compute capability 9.0, …)"
  std::string product;      // "NVIDIA H200"; "16 threads" of a CPU
  bool gpu = false;
};

// `wanted` is auto, cpu, cuda or cuda:N. Errc::invalid_argument; Errc::device and unsupported where
// it cannot be had.
Result<Device> find_device(const std::string& wanted);

Result<std::unique_ptr<kernels::Ops>> open(const Device& device, int threads);

// Bytes per second of reading gigabytes of random numbers, and floating-point operations per second
// of kernels/ops/ceilings.h. Takes some seconds; the memory it needs is free again afterwards.
// Errc::exhausted, device.
Result<double> measure_read_ceiling(kernels::Ops& ops, const Device& device);
Result<double> measure_multiply_ceiling(kernels::Ops& ops);

}  // namespace glm::bench
