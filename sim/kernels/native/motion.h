// One tick of the vehicles among some rows of a world, LANES at a time (sim/kernels/vehicle.py has the equations).
// The loop of plain C++ over arrays of LANES numbers becomes vector code; a GPU's threads take a vehicle each. Who
// takes this text in says how many sub-steps of how many seconds (SUBSTEPS, SUBSTEP_S), and which vehicles roll.
struct alignas(64) Group {
    int count, row[LANES];
    float p[COLUMNS][LANES];
    float throttle[LANES], brake[LANES], steer[LANES], gear[LANES];  // -1: backwards, else 1
    float normal[LANES], grade[LANES];  // gravity across and along it
    float x[LANES], y[LANES], yaw[LANES], cos[LANES], sin[LANES];
    float vx[LANES], vy[LANES], r[LANES], ax[LANES], ay[LANES];  // of the origin, in the body frame
    float wheel[LANES], drive[LANES];
};
struct Pair {
    float a, b;
};
const float h = SUBSTEP_S;
const auto sign = [](float x) -> float { return x < 0.0f ? -1.0f : 1.0f; };
const auto unit_vector = [](float angle) -> Pair {
    // cosine and sine of an angle between -1 and 1 rad, to 1e-6: Taylor's polynomials, a fifth of the library's time
    const float u = angle * angle;
    return {1.0f - u * (0.5f - u * (1.0f / 24.0f - u * (1.0f / 720.0f - u / 40320.0f))),
            angle * (1.0f - u * (1.0f / 6.0f - u * (1.0f / 120.0f - u * (1.0f / 5040.0f - u / 362880.0f))))};
};
const auto rotated = [](Pair v, Pair by) -> Pair { return {v.a * by.a - v.b * by.b, v.a * by.b + v.b * by.a}; };
const auto axle_force = [&](float along, float across, float stiffness, float load, float mu, float push) -> Pair {
    // Fiala's lateral force of one axle, and its slope against lateral speed (a damping). Wheel-frame speeds in m/s;
    // load and longitudinal force over vehicle mass, m/s2.
    const float grip = mu * load;
    const float left = wp::sqrt(wp::max(grip * grip - push * push, 0.0f));
    const float ahead = wp::max(wp::abs(along), SLIP_SPEED_MIN_MPS);
    const float t = -across / ahead;  // tangent of the slip angle
    const float c = stiffness * load;
    const float u = c * wp::abs(t) / (3.0f * left + 1.0e-6f);  // 1 where the whole contact patch slides
    const float force = c * t * (1.0f - u + u * u / 3.0f), damping = c * (1.0f - u) * (1.0f - u) / ahead;
    return {u >= 1.0f ? sign(t) * left : force, u >= 1.0f ? 0.0f : damping};
};
const auto wanted_drive = [&](const Group& g, int k, float speed) -> float {  // what the pedals ask for, m/s2
    const float available = wp::min(g.p[DRIVE_ACCEL_MAX][k], g.p[POWER_PER_MASS][k] / wp::max(speed, POWER_FROM_MPS));
    const float backwards = wp::min(available, wp::max(REVERSE_FADE_1PS * (REVERSE_MAX_MPS - speed), 0.0f));
    return g.throttle[k] * (g.gear[k] < 0.0f ? backwards : available) - g.brake[k] * g.p[BRAKE_MAX][k];
};
const auto actuate = [&](Group& g, int k, float wanted) {
    // wheel angle at a limited rate, drive and brake with a first-order lag
    const float turn = g.p[WHEEL_RATE_MAX][k] * h;
    g.wheel[k] = g.wheel[k] + wp::clamp(g.steer[k] * g.p[WHEEL_ANGLE_MAX][k] - g.wheel[k], -turn, turn);
    const float lag = wanted < g.drive[k] ? g.p[BRAKE_LAG][k] : g.p[DRIVE_LAG][k];
    g.drive[k] = g.drive[k] + (wanted - g.drive[k]) * h / (lag + h);
};
const auto substep = [&](Group& g, int k, float friction) {
    const float a = g.p[FRONT_AXLE][k], b = g.p[REAR_AXLE][k], base = a + b;
    const float vx0 = g.vx[k], vy0 = g.vy[k], r0 = g.r[k], normal = g.normal[k];
    const float mu = g.p[TYRE_FRICTION][k] * friction;
    const float speed = wp::sqrt(vx0 * vx0 + vy0 * vy0);
    actuate(g, k, wanted_drive(g, k, wp::abs(vx0)));
    const float wheel = g.wheel[k], drive = g.drive[k];
    // loads and longitudinal forces, all over mass
    const float gear = g.gear[k];
    float shift = wp::clamp(drive, -mu * normal, mu * normal) * g.p[CG_HEIGHT][k] / base;
    shift = drive < 0.0f ? (vx0 < 0.0f ? -shift : shift) : gear * shift;
    const float load_f = wp::max(normal * b / base - shift, LOAD_MIN * normal * b / base);
    const float load_r = wp::max(normal * a / base + shift, LOAD_MIN * normal * a / base);
    const float grip_f = GRIP_USED * mu * load_f, grip_r = GRIP_USED * mu * load_r;
    const float push_f = wp::min(wp::max(drive, 0.0f) * g.p[DRIVE_FRONT_SHARE][k], grip_f);
    const float push_r = wp::min(wp::max(drive, 0.0f) * (1.0f - g.p[DRIVE_FRONT_SHARE][k]), grip_r);
    const float stop = wp::max(-drive, 0.0f) / (load_f + load_r);  // electronic distribution: in proportion to load
    const float stop_f = wp::min(stop * load_f, grip_f), stop_r = wp::min(stop * load_r, grip_r);
    // lateral forces
    const Pair direction = unit_vector(wheel);
    const float cd = direction.a, sd = direction.b;
    const float across_f = vy0 + base * r0;
    const Pair front = axle_force(cd * vx0 + sd * across_f, cd * across_f - sd * vx0, g.p[CORNERING_FRONT][k], load_f,
                                  mu, push_f + stop_f);
    const Pair rear = axle_force(vx0, vy0, g.p[CORNERING_REAR][k], load_r, mu, push_r + stop_r);
    const float along_f = gear * push_f - sign(vx0) * stop_f;
    const float side_f = front.a * cd + along_f * sd;
    // linearly implicit step of V and r: (1 - q J) delta = h f, q from h / 2 (trapezoidal rule) to h for stiff tyres
    const float inertia = g.p[YAW_INERTIA][k] / g.p[MASS][k];
    const float v_cg = vy0 + b * r0;
    const float df = front.b * cd * cd, dr = rear.b;
    const float turning = (a * a * df + b * b * dr) / inertia;
    const float stiff = h * wp::max(df + dr, turning);
    const float q = h * (0.5f + 0.5f * stiff / (6.0f + stiff));  // exponential fitting, theta = 1 / 2 + z / 12 + ...
    const float j11 = 1.0f + q * (df + dr), j12 = q * (a * df - b * dr + vx0);
    const float j21 = q * (a * df - b * dr) / inertia, j22 = 1.0f + q * turning;
    const float f1 = h * (side_f + rear.a - r0 * (vx0 + 0.5f * h * r0 * v_cg));  // mid-step: a spin gains no energy
    const float f2 = h * (a * side_f - b * rear.a) / inertia;
    const float det = j11 * j22 - j12 * j21;
    const float v_new = v_cg + (f1 * j22 - f2 * j12) / det;
    const float r_new = r0 + (f2 * j11 - f1 * j21) / det;
    // along: pushing forces first, then dry friction, which stops but never reverses
    const float over = (speed - KINEMATIC_BELOW_MPS) / (DYNAMIC_ABOVE_MPS - KINEMATIC_BELOW_MPS);
    const float dynamic = wp::clamp(over, 0.0f, 1.0f);
    const float blend = dynamic * dynamic * (3.0f - 2.0f * dynamic);
    const float drag = g.p[DRAG_PER_MASS][k] * vx0 * wp::abs(vx0);
    const float push = gear * (push_f * cd + push_r);
    const float free = push - drag - g.grade[k] + blend * (0.5f * r0 * (v_cg + v_new) - front.a * sd);
    const float pushed = vx0 + h * free;
    const float dry = h * (stop_f * cd + stop_r + g.p[ROLLING][k] * normal);
    const float vx = sign(pushed) * wp::max(wp::abs(pushed) - dry, 0.0f);
    // blend with the kinematic bicycle: no slip at the rear axle
    const float r = blend * r_new + (1.0f - blend) * vx * sd / (cd * base);
    const float vy = blend * (v_new - b * r_new);
    g.vx[k] = vx, g.vy[k] = vy, g.r[k] = r;
    g.ax[k] = (vx - vx0) / h - r * vy;
    g.ay[k] = (vy - vy0) / h + r * vx;
    const float turned = 0.5f * h * (r0 + r);
    const Pair half = unit_vector(0.5f * turned);
    const Pair middle = rotated({g.cos[k], g.sin[k]}, half), ahead = rotated(middle, half);
    const float cm = 0.5f * h * middle.a, sm = 0.5f * h * middle.b;
    g.cos[k] = ahead.a, g.sin[k] = ahead.b;
    g.x[k] = g.x[k] + (vx0 + vx) * cm - (vy0 + vy) * sm;
    g.y[k] = g.y[k] + (vx0 + vx) * sm + (vy0 + vy) * cm;
    g.yaw[k] = g.yaw[k] + turned;
};
const auto rests = [&](const Group& g, int k) -> bool {
    // does a vehicle that stands stay where it is for the whole tick, held by its brakes and its rolling resistance?
    const float wanted = wanted_drive(g, k, 0.0f);
    const float push = wp::max(wp::max(g.drive[k], wanted), 0.0f);
    const float hold = wp::max(wp::min(-g.drive[k], -wanted), 0.0f) + g.p[ROLLING][k] * g.normal[k];
    return g.vx[k] == 0.0f && g.vy[k] == 0.0f && g.r[k] == 0.0f && push + wp::abs(g.grade[k]) < 0.9f * hold;
};
const auto fetch = [&](Group& g, int k, int at) {
    g.row[k] = at;
    for (int column = 0; column < COLUMNS; ++column)
        g.p[column][k] = params.data[state.model.data[at] * COLUMNS + column];
    const bool parked = state.driver.data[at] == NOBODY;
    g.throttle[k] = parked ? 0.0f : wp::clamp(state.throttle.data[at], 0.0f, 1.0f);
    g.brake[k] = parked ? 1.0f : wp::clamp(state.brake.data[at], 0.0f, 1.0f);
    g.steer[k] = wp::clamp(state.steer.data[at], -1.0f, 1.0f);
    g.gear[k] = state.reverse.data[at] != 0 ? -1.0f : 1.0f;
    g.normal[k] = GRAVITY_MPS2 * ::cosf(state.pitch_rad.data[at]);
    g.grade[k] = GRAVITY_MPS2 * ::sinf(state.pitch_rad.data[at]);
    g.x[k] = state.x_m.data[at], g.y[k] = state.y_m.data[at], g.yaw[k] = state.yaw_rad.data[at];
    g.vx[k] = state.vx_mps.data[at], g.vy[k] = state.vy_mps.data[at], g.r[k] = state.yaw_rate_radps.data[at];
    g.wheel[k] = state.wheel_angle_rad.data[at], g.drive[k] = state.drive_mps2.data[at];
};
const auto store = [&](const Group& g, int k, float ax, float ay) {
    const int at = g.row[k];
    state.ax_mps2.data[at] = ax, state.ay_mps2.data[at] = ay;
    state.wheel_angle_rad.data[at] = g.wheel[k], state.drive_mps2.data[at] = g.drive[k];
};
const auto move = [&](Group& g) {
    const float friction = state.friction.data[w];
    for (int k = 0; k < g.count; ++k)  // what the other lanes hold is not looked at
        g.cos[k] = ::cosf(g.yaw[k]), g.sin[k] = ::sinf(g.yaw[k]);
    for (int n = 0; n < SUBSTEPS; ++n)
#pragma clang loop vectorize(assume_safety) vectorize_width(LANES)
        for (int k = 0; k < LANES; ++k)
            substep(g, k, friction);
    for (int k = 0; k < g.count; ++k) {
        const int at = g.row[k];
        store(g, k, g.ax[k], g.ay[k]);
        state.x_m.data[at] = g.x[k], state.y_m.data[at] = g.y[k];
        state.yaw_rad.data[at] = g.yaw[k] - TURN_RAD * wp::round(g.yaw[k] / TURN_RAD);
        state.vx_mps.data[at] = g.vx[k], state.vy_mps.data[at] = g.vy[k], state.yaw_rate_radps.data[at] = g.r[k];
    }
    g.count = 0;
};
Group g = {};
for (int at = first; at < last; ++at) {
    const int kind = state.kind.data[at], k = g.count;
    if ((kind == CAR || kind == TRUCK || kind == CYCLIST) && rolls(at)) {
        fetch(g, k, at);
        if (!rests(g, k)) {
            g.count = k + 1;
        } else {  // wheel and actuators go on, nothing else does
            const float wanted = wanted_drive(g, k, 0.0f);
            for (int n = 0; n < SUBSTEPS; ++n)
                actuate(g, k, wanted);
            store(g, k, 0.0f, 0.0f);
        }
    }
    if (g.count == LANES || (g.count > 0 && at == last - 1))
        move(g);
}
