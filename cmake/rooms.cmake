# A room is one folder with one idea: a static library of the .c files in it.
#
# waybill_room(<library> [DEPENDS library...])
function(waybill_room name)
  cmake_parse_arguments(ROOM "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC waybill_flags ${ROOM_DEPENDS})
endfunction()

# Some hundred programs of tests are linked, which gold does in a quarter of the time.
include(CheckLinkerFlag)
check_linker_flag(C -fuse-ld=gold WAYBILL_HAS_GOLD)
if(WAYBILL_HAS_GOLD)
  add_link_options(-fuse-ld=gold)
endif()

# Flags for our own code; generated code does without the warnings.
add_library(waybill_flags INTERFACE)
target_compile_options(waybill_flags INTERFACE -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes
                                               -Wmissing-prototypes -Wvla)
target_compile_definitions(waybill_flags INTERFACE _GNU_SOURCE WAYBILL_VERSION="${PROJECT_VERSION}")
if(WAYBILL_SANITIZE)
  add_compile_options(-fsanitize=${WAYBILL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${WAYBILL_SANITIZE})
endif()
