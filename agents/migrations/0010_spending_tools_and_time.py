from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0009_choices"),
    ]

    operations = [
        migrations.AddField(
            model_name="spending", name="tool_calls", field=models.PositiveBigIntegerField(default=0)
        ),
        migrations.AddField(model_name="spending", name="wall_s", field=models.FloatField(default=0)),
    ]
