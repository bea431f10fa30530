// Probing must work, and find nothing, on a machine without a driver.
#include "kernels/device_info.h"

#include <gtest/gtest.h>

namespace glm::kernels {
namespace {

TEST(DeviceInfo, NamesTheBackends) {
  EXPECT_TRUE(backends() == "cpu" || backends() == "cpu, cuda") << backends();
}

TEST(DeviceInfo, ProbesWithoutADriver) {
  const auto devices = probe_devices();
  ASSERT_TRUE(devices.ok()) << devices.error().message;
  for (const DeviceInfo& device : *devices) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GT(device.memory_total_bytes, 0U);
    EXPECT_LE(device.memory_free_bytes, device.memory_total_bytes);
    EXPECT_GT(device.compute_major, 0);
  }
}

TEST(DeviceInfo, RefusesToTestADeviceThatIsNotThere) {
  const auto devices = probe_devices();
  ASSERT_TRUE(devices.ok());
  EXPECT_FALSE(self_test(static_cast<int>(devices->size())).ok());
  EXPECT_FALSE(self_test(-1).ok());
}

}  // namespace
}  // namespace glm::kernels
