#include "cmd/cli/model_page.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace glm {
namespace {

using Json = nlohmann::ordered_json;

const Json& tiny() {
  static const Json show = Json::parse(R"({
    "model": "tiny:latest", "license": "MIT License\nline 2\nline 3\nline 4\n",
    "modelfile": "FROM bundled:glm-tiny\n", "parameters": "temperature    0.5\n",
    "template": "[gMASK]<sop>", "system": "",
    "details": {"family": "glm4_moe_lite", "parameter_size": "7.2M", "quantization_level": "bf16"},
    "model_info": {"architecture": "glm4_moe_lite", "format": "bf16", "context_max": 4096,
                   "kv_bytes_per_token": 54144, "notes": ["has no MTP layer"]},
    "capabilities": ["completion", "thinking"], "modified_at": "2026-11-21T09:15:00Z",
    "size": 14400000, "source": "bundled:glm-tiny", "revision": "main", "commit": "abc"})");
  return show;
}

TEST(ModelPage, HasASectionForEverythingKnown) {
  EXPECT_EQ(model_page(tiny()),
            "  Model\n"
            "    architecture          glm4_moe_lite\n"
            "    parameters            7.2M\n"
            "    context length        4096\n"
            "    format                bf16\n"
            "    size                  14.4 MB\n"
            "    kv bytes per token    54144\n"
            "\n"
            "  Source\n"
            "    repository    bundled:glm-tiny\n"
            "    revision      main\n"
            "    commit        abc\n"
            "    pulled        2026-11-21T09:15:00Z\n"
            "\n"
            "  Capabilities\n"
            "    completion\n"
            "    thinking\n"
            "\n"
            "  Notes\n"
            "    has no MTP layer\n"
            "\n"
            "  Parameters\n"
            "    temperature    0.5\n"
            "\n"
            "  License\n"
            "    MIT License\n"
            "    line 2\n"
            "    line 3\n"
            "    ...\n");
}

TEST(ModelPage, LeavesOutWhatIsMissingOrOfAnotherType) {
  EXPECT_EQ(model_page(Json::object()), "");
  EXPECT_EQ(model_page({{"details", 1},
                        {"model_info", nullptr},
                        {"capabilities", "x"},
                        {"size", -1},
                        {"system", 7}}),
            "");
}

TEST(ModelPagePart, IsThatTextAlone) {
  EXPECT_EQ(*model_page_part(tiny(), "template"), "[gMASK]<sop>\n");
  EXPECT_EQ(*model_page_part(tiny(), "modelfile"), "FROM bundled:glm-tiny\n");
  EXPECT_EQ(*model_page_part(tiny(), "info"), model_page(tiny()));
  EXPECT_EQ(model_page_part(tiny(), "system").error().message,
            "this model has no system of its own");
  EXPECT_EQ(model_page_part(tiny(), "licence").error().message,
            "a model has no 'licence'; did you mean 'license'?");
}

}  // namespace
}  // namespace glm
