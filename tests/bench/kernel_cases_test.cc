// Every operation of `glm bench --kernels` that a CPU does in a blink runs, and counts something.
#include "cmd/bench/kernel_cases.h"

#include <gtest/gtest.h>

#include <set>

#include "cmd/bench/device.h"

namespace glm::bench {
namespace {

constexpr std::int64_t kBlinkBytes = 20LL << 20U;

TEST(KernelCases, RunOnTheCpu) {
  const auto ops = kernels::make_cpu_ops(2);
  ASSERT_TRUE(ops->reserve(kernel_bounds(65)).ok());
  KernelMemory memory(*ops);
  std::set<std::string> names;
  for (const KernelRow& row : kernel_rows()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    if (row.bytes_of_one > kBlinkBytes || row.tokens_max < row.tokens_min) continue;
    const KernelCase one = row.make(memory, *ops, row.tokens_min);
    ASSERT_TRUE(memory.status().ok()) << memory.status().error().message;
    one.enqueue();
    EXPECT_TRUE(ops->sync().ok()) << row.name;
    EXPECT_GT(one.bytes, 0) << row.name;
    memory.clear();
  }
  EXPECT_GE(names.size(), 15u);
}

TEST(Device, MeasuresItsCeilings) {
  const auto device = find_device("cpu");
  ASSERT_TRUE(device.ok()) << device.error().message;
  const auto ops = open(*device, 2);
  ASSERT_TRUE(ops.ok()) << ops.error().message;
  const auto read = measure_read_ceiling(**ops, *device);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_GT(*read, 1e8);
  EXPECT_LT(*read, 1e13);
  const auto multiply = measure_multiply_ceiling(**ops);
  ASSERT_TRUE(multiply.ok()) << multiply.error().message;
  EXPECT_GT(*multiply, 1e7);
  EXPECT_LT(*multiply, 1e15);
}

}  // namespace
}  // namespace glm::bench
